// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/members/admission.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "overlay/signed.h"

static const char altered[] = "the token is not of this community or was altered";

static struct public_key key_of(const pb_byte_t bytes[PUBLIC_KEY_BYTES])
{
    struct public_key key;

    memcpy(key.bytes, bytes, PUBLIC_KEY_BYTES);
    return key;
}

static struct signature signature_of(const pb_byte_t bytes[SIGNATURE_BYTES])
{
    struct signature signature;

    memcpy(signature.bytes, bytes, SIGNATURE_BYTES);
    return signature;
}

static void take_apart(const minga_AdmissionRequest *request, struct admission *admission_out)
{
    memset(admission_out, 0, sizeof(*admission_out));
    admission_out->node_key = key_of(request->node_key);
    admission_out->node = keys_node_id(&admission_out->node_key);
    admission_out->owner_key = key_of(request->owner_key);
    memcpy(admission_out->node_name, request->node_name, sizeof(admission_out->node_name));
    memcpy(admission_out->owner_name, request->owner_name, sizeof(admission_out->owner_name));
}

/* The invitation is the community's word; its key must have signed the request. */
static int check_invitation(const minga_AdmissionRequest *body,
                            const struct admission_request *request,
                            const struct public_key *community, struct admission *admission)
{
    minga_Invitation invitation = minga_Invitation_init_zero;
    struct public_key signer = key_of(body->invitation.key);

    if (!body->has_invitation || !keys_equal(&signer, community) ||
        signed_open(&body->invitation, PURPOSE_INVITATION, minga_Invitation_fields, &invitation) <
            0 ||
        memcmp(invitation.community, community->bytes, PUBLIC_KEY_BYTES) != 0) {
        return -EBADMSG;
    }
    admission->has_invitation = true;
    admission->invitation_key = key_of(invitation.key);
    admission->uses_max = invitation.uses_max;
    admission->created_unix_s = invitation.created_unix_s;
    admission->expires_unix_s = invitation.expires_unix_s;
    if (!keys_verify(&admission->invitation_key, PURPOSE_ADMISSION, request->request,
                     &request->invitation_signature)) {
        return -EBADMSG;
    }
    return 0;
}

static int open_request(const struct admission_request *request, const struct public_key *community,
                        bool needs_invitation, struct admission *admission_out)
{
    minga_AdmissionRequest body = minga_AdmissionRequest_init_zero;

    if (signed_decode_body(minga_AdmissionRequest_fields, request->request, &body) < 0 ||
        memcmp(body.community, community->bytes, PUBLIC_KEY_BYTES) != 0 ||
        body.positions > POSITIONS_MAX) {
        return -EBADMSG;
    }
    take_apart(&body, admission_out);
    if (!keys_verify(&admission_out->node_key, PURPOSE_ADMISSION, request->request,
                     &request->node_signature) ||
        !keys_verify(&admission_out->owner_key, PURPOSE_ADMISSION, request->request,
                     &request->owner_signature)) {
        return -EBADMSG;
    }
    return needs_invitation ? check_invitation(&body, request, community, admission_out) : 0;
}

int admission_peek(struct bytes encoded, struct admission *peeked_out,
                   struct public_key *community_out)
{
    minga_Signed envelope = minga_Signed_init_zero;
    minga_Countersigned body = minga_Countersigned_init_zero;
    minga_AdmissionRequest request = minga_AdmissionRequest_init_zero;

    if (encoded.length_bytes > ADMISSION_BYTES_MAX || signed_decode(encoded, &envelope) < 0 ||
        signed_decode_body(minga_Countersigned_fields,
                           (struct bytes){envelope.body.bytes, envelope.body.size}, &body) < 0 ||
        signed_decode_body(minga_AdmissionRequest_fields,
                           (struct bytes){body.request.bytes, body.request.size}, &request) < 0) {
        return -EBADMSG;
    }
    memset(peeked_out, 0, sizeof(*peeked_out));
    peeked_out->node_key = key_of(request.node_key);
    peeked_out->node = keys_node_id(&peeked_out->node_key);
    peeked_out->admitted_unix_s = body.admitted_unix_s;
    *community_out = key_of(request.community);
    return 0;
}

int admission_open(struct bytes encoded, const struct public_key *community,
                   struct admission *admission_out)
{
    minga_Signed envelope = minga_Signed_init_zero;
    minga_Countersigned body = minga_Countersigned_init_zero;
    struct admission admission;
    struct admission_request request;
    struct public_key countersigner;
    int r;

    if (encoded.length_bytes > ADMISSION_BYTES_MAX || signed_decode(encoded, &envelope) < 0 ||
        signed_open(&envelope, PURPOSE_COUNTERSIGNATURE, minga_Countersigned_fields, &body) < 0) {
        return -EBADMSG;
    }
    countersigner = key_of(envelope.key);
    request = (struct admission_request){{body.request.bytes, body.request.size},
                                         signature_of(body.node_signature),
                                         signature_of(body.owner_signature),
                                         signature_of(body.invitation_signature)};
    r = open_request(&request, community, !keys_equal(&countersigner, community), &admission);
    if (r < 0) {
        return r;
    }
    admission.countersigner = countersigner;
    admission.admitted_unix_s = body.admitted_unix_s;
    *admission_out = admission;
    return 0;
}

static void say_expired(uint64_t expires_unix_s, char reason_out[REASON_CHARS_MAX + 1])
{
    time_t when = (time_t)expires_unix_s;
    struct tm date;
    char text[16] = "some day";

    if (gmtime_r(&when, &date) != NULL) {
        (void)strftime(text, sizeof(text), "%Y-%m-%d", &date);
    }
    (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "the invitation expired on %s", text);
}

static void say_used_up(const struct membership *membership, const struct admission *asked,
                        char reason_out[REASON_CHARS_MAX + 1])
{
    (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "the invitation has been used up (%u of %u)",
                   membership_uses(membership, &asked->invitation_key), asked->uses_max);
}

/* Limits of the invitation itself; false with a reason. */
static bool invitation_stands(const struct membership *membership, const struct admission *asked,
                              uint64_t wall_unix_s, char reason_out[REASON_CHARS_MAX + 1])
{
    struct id invitation = membership_invitation_id(&asked->invitation_key);

    if (wall_unix_s > asked->expires_unix_s) {
        say_expired(asked->expires_unix_s, reason_out);
        return false;
    }
    if (membership_banned(&membership->revocations, &invitation) != NULL) {
        (void)snprintf(reason_out, REASON_CHARS_MAX + 1, "the invitation was revoked");
        return false;
    }
    if (asked->uses_max > 0 &&
        membership_uses(membership, &asked->invitation_key) >= asked->uses_max) {
        say_used_up(membership, asked, reason_out);
        return false;
    }
    return true;
}

/* One that came in beyond its invitation's uses may come in by another one: as long as nobody hangs on
 * its admission, who would have been let in before it then. */
static bool may_come_again(const struct membership *membership, int index,
                           const struct admission *asked, char reason_out[REASON_CHARS_MAX + 1])
{
    if (keys_equal(&membership->list[index].invitation, &asked->invitation_key)) {
        say_used_up(membership, asked, reason_out);
        return false;
    }
    if (membership_has_let_in(membership, index)) {
        (void)snprintf(
            reason_out, REASON_CHARS_MAX + 1,
            "this node came in by an invitation that was used up, and has let others in: "
            "it needs a new key");
        return false;
    }
    return true;
}

int admission_judge(const struct membership *membership, const struct public_key *community,
                    const struct admission_request *request, uint64_t wall_unix_s,
                    struct admission_verdict *verdict_out)
{
    struct admission *asked = &verdict_out->admission;
    char *reason = verdict_out->reason;
    const struct ban *ban;
    int known;

    if (open_request(request, community, true, asked) < 0) {
        (void)snprintf(reason, REASON_CHARS_MAX + 1, "%s", altered);
        return -EACCES;
    }
    ban = membership_banned(&membership->expulsions, &asked->node.id);
    if (ban != NULL) {
        (void)snprintf(reason, REASON_CHARS_MAX + 1, "this node was expelled: %.90s", ban->reason);
        return -EACCES;
    }
    known = membership_find(membership, &asked->node);
    if (known != MEMBER_NONE) {
        if (!keys_equal(&membership->list[known].view.owner_key, &asked->owner_key)) {
            (void)snprintf(reason, REASON_CHARS_MAX + 1,
                           "this node is already admitted with another owner");
            return -EACCES;
        }
        if (!membership->list[known].is_void) {
            return 0; /* it is answered with the admission that it has */
        }
        if (!may_come_again(membership, known, asked, reason)) {
            return -EACCES;
        }
    }
    return invitation_stands(membership, asked, wall_unix_s, reason) ? 0 : -EACCES;
}

uint64_t admission_date(const struct admission *asked, uint64_t since_unix_s, uint64_t wall_unix_s)
{
    uint64_t date = wall_unix_s > since_unix_s ? wall_unix_s : since_unix_s + 1;

    return date > asked->created_unix_s ? date : asked->created_unix_s;
}

int admission_countersign(const struct admission_request *request, const struct secret_key *secret,
                          uint64_t admitted_unix_s, uint8_t encoded_out[ADMISSION_BYTES_MAX])
{
    minga_Countersigned body = minga_Countersigned_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    int r;

    if (request->request.length_bytes > sizeof(body.request.bytes)) {
        return -EMSGSIZE;
    }
    memcpy(body.request.bytes, request->request.data, request->request.length_bytes);
    body.request.size = (pb_size_t)request->request.length_bytes;
    memcpy(body.node_signature, request->node_signature.bytes, SIGNATURE_BYTES);
    memcpy(body.owner_signature, request->owner_signature.bytes, SIGNATURE_BYTES);
    memcpy(body.invitation_signature, request->invitation_signature.bytes, SIGNATURE_BYTES);
    body.admitted_unix_s = admitted_unix_s;
    r = signed_make(minga_Countersigned_fields, &body, PURPOSE_COUNTERSIGNATURE, secret, &envelope);
    if (r < 0) {
        return r;
    }
    return signed_encode(&envelope, encoded_out, ADMISSION_BYTES_MAX);
}

bool admission_precedes(const struct admission *admission, const struct ban *ban)
{
    return ban == NULL || admission->admitted_unix_s <= ban->since_unix_s ||
           admission->admitted_unix_s - ban->since_unix_s <= CLOCK_SKEW_S_MAX;
}

bool admission_is_timely(const struct admission *admission)
{
    uint64_t date = admission->admitted_unix_s;

    if (!admission->has_invitation) {
        return true;
    }
    if (date < admission->created_unix_s) {
        return admission->created_unix_s - date <= CLOCK_SKEW_S_MAX;
    }
    return date <= admission->expires_unix_s ||
           date - admission->expires_unix_s <= CLOCK_SKEW_S_MAX;
}

bool admission_is_vouched(const struct membership *membership, const struct public_key *community,
                          const struct admission *admission)
{
    struct node_id voucher = keys_node_id(&admission->countersigner);
    const struct ban *ban = membership_banned(&membership->expulsions, &voucher.id);
    int known = membership_find(membership, &voucher);

    if (keys_equal(&admission->countersigner, community)) {
        return true;
    }
    return known != MEMBER_NONE &&
           membership->list[known].view.since_unix_s < admission->admitted_unix_s &&
           admission_precedes(admission, ban);
}

static int open_ban(struct bytes encoded, const char *purpose, const struct public_key *community,
                    const pb_msgdesc_t *fields, void *body_out)
{
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key signer;

    if (encoded.length_bytes > BAN_BYTES_MAX || signed_decode(encoded, &envelope) < 0) {
        return -EBADMSG;
    }
    signer = key_of(envelope.key);
    if (!keys_equal(&signer, community)) {
        return -EBADMSG;
    }
    return signed_open(&envelope, purpose, fields, body_out);
}

static void keep_encoded(struct ban *ban, struct bytes encoded)
{
    memcpy(ban->bytes, encoded.data, encoded.length_bytes);
    ban->length_bytes = encoded.length_bytes;
}

int admission_open_expulsion(struct bytes encoded, const struct public_key *community,
                             struct ban *ban_out)
{
    minga_Expulsion body = minga_Expulsion_init_zero;
    struct public_key node;

    if (open_ban(encoded, PURPOSE_EXPULSION, community, minga_Expulsion_fields, &body) < 0 ||
        memcmp(body.community, community->bytes, PUBLIC_KEY_BYTES) != 0) {
        return -EBADMSG;
    }
    node = key_of(body.node_key);
    memset(ban_out, 0, sizeof(*ban_out));
    ban_out->key = keys_node_id(&node).id;
    ban_out->since_unix_s = body.expelled_unix_s;
    memcpy(ban_out->reason, body.reason, sizeof(ban_out->reason));
    keep_encoded(ban_out, encoded);
    return 0;
}

int admission_open_revocation(struct bytes encoded, const struct public_key *community,
                              struct ban *ban_out)
{
    minga_Revocation body = minga_Revocation_init_zero;
    struct public_key invitation;

    if (open_ban(encoded, PURPOSE_REVOCATION, community, minga_Revocation_fields, &body) < 0 ||
        memcmp(body.community, community->bytes, PUBLIC_KEY_BYTES) != 0) {
        return -EBADMSG;
    }
    invitation = key_of(body.invitation_key);
    memset(ban_out, 0, sizeof(*ban_out));
    ban_out->key = membership_invitation_id(&invitation);
    ban_out->since_unix_s = body.revoked_unix_s;
    if (body.expires_unix_s > 0) { /* a mistaken one does not make it outlived at once */
        ban_out->over_unix_s =
            body.expires_unix_s > body.revoked_unix_s ? body.expires_unix_s : body.revoked_unix_s;
    }
    keep_encoded(ban_out, encoded);
    return 0;
}
