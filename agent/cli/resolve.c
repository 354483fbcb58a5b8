// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/resolve.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/units.h"

#define NO_SUCH_SERVICE "no such service"

bool resolve_found_none(const struct problem *problem)
{
    return problem->status == EXIT_NOT_FOUND && strcmp(problem->why, NO_SUCH_SERVICE) == 0;
}

bool name_is_valid(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    size_t length = strlen(name);

    return length > 0 && length <= NAME_CHARS_MAX && name[0] != '-' &&
           strspn(name, letters) == length;
}

static int bad_name(const char *text, const char *why, struct problem *problem)
{
    problem_set(problem, EXIT_USAGE, text, "%s", why);
    return problem_advise(problem, "names are a-z, 0-9 and -, at most %d characters",
                          NAME_CHARS_MAX);
}

int service_name_parse(const char *text, bool takes_slot, struct service_name *name_out,
                       struct problem *problem)
{
    size_t length = strcspn(text, "@/");
    const char *at = strchr(text, '@');
    const char *slash = strchr(text, '/');
    uint64_t slot = 0;

    memset(name_out, 0, sizeof(*name_out));
    if (length > NAME_CHARS_MAX) {
        return bad_name(text, "not a service's name", problem);
    }
    memcpy(name_out->name, text, length);
    if (!name_is_valid(name_out->name)) {
        return bad_name(text, "not a service's name", problem);
    }
    if (at != NULL) {
        size_t owner_length = strcspn(at + 1, "/");

        if (owner_length == 0 || owner_length > ID_HEX_CHARS ||
            strspn(at + 1, "0123456789abcdefABCDEF") < owner_length) {
            return bad_name(text, "behind @ goes an owner's id", problem);
        }
        memcpy(name_out->owner, at + 1, owner_length);
    }
    if (slash != NULL && (!takes_slot || units_parse_number(slash + 1, &slot) < 0 || slot == 0 ||
                          slot > REPLICAS_PER_SERVICE_MAX)) {
        problem_set(problem, EXIT_USAGE, text, "%s",
                    takes_slot ? "behind / goes a replica's number"
                               : "a service is wanted here, not a replica");
        return takes_slot
                   ? problem_advise(problem, "the first one is %.*s/1", (int)(slash - text), text)
                   : problem_advise(problem, "did you mean %.*s?", (int)(slash - text), text);
    }
    name_out->slot = (uint32_t)slot;
    return EXIT_DONE;
}

/* Lists all that are meant: "several have that name: wiki@1f.., wiki@27..". */
static int ambiguous(const json_t *services, const struct service_name *name,
                     struct problem *problem)
{
    char list[ERR_TEXT_BYTES_MAX / 2] = "";
    size_t used = 0;
    const json_t *service;
    size_t i;

    json_array_foreach(services, i, service)
    {
        if (strcmp(text_of(service, "name"), name->name) == 0 && used < sizeof(list) - 64) {
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s@%.*s",
                                     used > 0 ? ", " : "", name->name, ID_SHORT_CHARS,
                                     text_of(service, "owner"));
        }
    }
    problem_set(problem, EXIT_NOT_FOUND, name->name, "several owners have one: %s", list);
    return problem_advise(problem, "say which: NAME@OWNER");
}

static bool owner_fits(const json_t *service, const char *prefix)
{
    return strncasecmp(text_of(service, "owner"), prefix, strlen(prefix)) == 0;
}

int resolve_among(const json_t *services, const struct service_name *name, const char *own_owner,
                  const json_t **service_out, struct problem *problem)
{
    const json_t *found = NULL;
    const json_t *service;
    uint32_t count = 0;
    size_t i;

    json_array_foreach(services, i, service)
    {
        if (strcmp(text_of(service, "name"), name->name) != 0 ||
            !owner_fits(service, name->owner)) {
            continue;
        }
        if (name->owner[0] == '\0' && own_owner[0] != '\0' && owner_fits(service, own_owner)) {
            *service_out = service;
            return EXIT_DONE;
        }
        found = service;
        count++;
    }
    if (count == 1) {
        *service_out = found;
        return EXIT_DONE;
    }
    if (count > 1) {
        return ambiguous(services, name, problem);
    }
    problem_set(problem, EXIT_NOT_FOUND, name->name, NO_SUCH_SERVICE);
    return problem_advise(problem, "minga services lists them");
}

/* The caller's own service of that name. */
static int find_own(struct session *session, const struct service_name *name,
                    struct owner_id *owner_out, char *id_hex_out, bool *found_out)
{
    CLEANUP(cleanup_json) json_t *known = NULL;
    struct secret_key secret;
    struct public_key key;
    struct service_id service;
    char path[160];
    int status = session_owner_key_if_any(session, &secret);

    *found_out = false;
    if (status != EXIT_DONE) {
        return status;
    }
    key = keys_public(&secret);
    keys_forget(&secret);
    *owner_out = keys_owner_id(&key);
    service = keys_service_id(&key, name->name);
    id_to_hex(&service.id, id_hex_out);
    if (name->owner[0] != '\0' && !id_has_prefix(&owner_out->id, name->owner)) {
        return EXIT_DONE;
    }
    /* Its manager is asked, or who stands in for it: quicker than its record's holders, some of
     * which may just have died. */
    snprintf(path, sizeof(path), "/v1/services/%s", id_hex_out);
    status = session_find(session, path, &known);
    *found_out = status == EXIT_DONE && known != NULL;
    return status;
}

int resolve_slot(const json_t *service, uint32_t slot, const char *text, struct problem *problem)
{
    int64_t wanted = number_of(service, "wanted");

    if (wanted <= 0 || slot <= wanted) {
        return EXIT_DONE;
    }
    problem_set(problem, EXIT_NOT_FOUND, text, "there is no such replica");
    return wanted == 1 ? problem_advise(problem, "the service has one, number 1")
                       : problem_advise(problem, "the service has %" PRId64 ": 1 to %" PRId64,
                                        wanted, wanted);
}

int resolve_service(struct session *session, const struct service_name *name, char *id_hex_out)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    char own_owner[ID_HEX_CHARS + 1] = "";
    struct owner_id owner;
    const json_t *service = NULL;
    bool found = false;
    int status = find_own(session, name, &owner, id_hex_out, &found);

    if (status == EXIT_DONE && found) {
        return EXIT_DONE;
    }
    if (status == EXIT_DONE) {
        id_to_hex(&owner.id, own_owner);
    } else if (status != EXIT_NOT_FOUND) {
        return status;
    }
    status = session_get(session, "/v1/services", &document);
    if (status == EXIT_DONE) {
        status = resolve_among(json_object_get(document, "services"), name, own_owner, &service,
                               &session->problem);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    memset(&session->problem, 0, sizeof(session->problem));
    return text_copy(id_hex_out, ID_HEX_CHARS + 1, text_of(service, "id")) == 0
               ? EXIT_DONE
               : problem_set(&session->problem, EXIT_REFUSED, "agent", "sent an id of odd length");
}

int resolve_path(struct session *session, const char *text, char *path_out, size_t capacity_bytes)
{
    struct service_name name;
    char id[ID_HEX_CHARS + 1];
    int status;

    if (text == NULL) {
        snprintf(path_out, capacity_bytes, "/v1/status");
        return EXIT_DONE;
    }
    status = service_name_parse(text, false, &name, &session->problem);
    if (status == EXIT_DONE) {
        status = resolve_service(session, &name, id);
    }
    if (status == EXIT_DONE) {
        snprintf(path_out, capacity_bytes, "/v1/services/%s", id);
    }
    return status;
}

int replica_count_parse(struct session *session, const char *text, uint64_t *count_out)
{
    if (units_parse_number(text, count_out) < 0 || *count_out == 0 ||
        *count_out > REPLICAS_PER_SERVICE_MAX) {
        problem_set(&session->problem, EXIT_USAGE, text, "not a number from 1 to %d",
                    REPLICAS_PER_SERVICE_MAX);
        return problem_advise(&session->problem, "minga stop ends all replicas");
    }
    return EXIT_DONE;
}
