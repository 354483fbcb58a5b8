// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/replay/print.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/attributes.h"
#include "overlay/message.h"

static const char *name_in(const char *const *names, size_t count, unsigned number)
{
    return number < count && names[number] != NULL ? names[number] : "unknown";
}
#define NAME_IN(names, number) name_in(names, ARRAY_COUNT(names), (unsigned)(number))

static const char *const event_names[] = {
    [CORE_OVERLAY] = "overlay",
    [CORE_TICK] = "tick",
    [CORE_REQUEST] = "request",
    [CORE_SANDBOX] = "sandbox",
    [CORE_SANDBOX_UP] = "sandbox up",
    [CORE_SANDBOX_LISTED] = "sandbox listed",
    [CORE_SANDBOX_DOWN] = "sandbox down",
    [CORE_TREE_SCANNED] = "tree scanned",
    [CORE_TREE_BUILT] = "tree built",
    [CORE_LOGS_READ] = "logs read",
    [CORE_EXEC_DONE] = "exec done",
    [CORE_PORTS_REFUSED] = "ports refused",
    [CORE_LINE] = "line",
    [CORE_DISK] = "disk",
    [CORE_SENSED] = "sensed",
    [CORE_CONFIGURED] = "configured",
    [CORE_TREE_FOUND] = "tree found",
};
static const char *const overlay_event_names[] = {
    [OVERLAY_TICK] = "tick",
    [OVERLAY_RECEIVED] = "received",
    [OVERLAY_LINK_UP] = "link up",
    [OVERLAY_LINK_LOST] = "link lost",
    [OVERLAY_STORED] = "stored",
    [OVERLAY_CHUNK_STORED] = "chunk stored",
    [OVERLAY_CHUNK_ABSENT] = "chunk absent",
    [OVERLAY_RELAY_UP] = "relay up",
    [OVERLAY_RELAY_DOWN] = "relay down",
    [OVERLAY_PORT_REFUSED] = "port refused",
    [OVERLAY_PORT_MAPPED] = "port mapped",
    [OVERLAY_CALLER_LOST] = "caller lost",
    [OVERLAY_CHUNK_READ] = "chunk read",
};
static const char *const effect_names[] = {
    [OVERLAY_SEND] = "send",
    [OVERLAY_REPLY] = "reply",
    [OVERLAY_HANG_UP] = "hang up",
    [OVERLAY_STORE] = "store",
    [OVERLAY_STORE_CHUNK] = "store chunk",
    [OVERLAY_DROP_CHUNK] = "drop chunk",
    [OVERLAY_WAKE] = "wake",
    [OVERLAY_TRACE] = "trace",
    [OVERLAY_DIAL_BACK] = "dial back",
    [OVERLAY_RELAY] = "relay",
    [OVERLAY_RELAYED] = "relayed",
};
static const char *const core_effect_names[] = {
    [CORE_IO] = "io",
    [CORE_ANSWER] = "answer",
    [CORE_SCAN_TREE] = "scan tree",
    [CORE_BUILD_TREE] = "build tree",
    [CORE_DROP_TREE] = "drop tree",
    [CORE_START] = "start",
    [CORE_STOP] = "stop",
    [CORE_FREEZE] = "freeze",
    [CORE_THAW] = "thaw",
    [CORE_RENEW] = "renew",
    [CORE_STATS] = "stats",
    [CORE_READ_LOGS] = "read logs",
    [CORE_EXEC] = "exec",
    [CORE_ALLOW] = "allow",
    [CORE_WAKE] = "wake",
    [CORE_TRACE] = "trace",
    [CORE_UNREADY] = "unready",
};
static const char *const request_names[] = {
    [CORE_CREATE_COMMUNITY] = "create community",
    [CORE_JOIN] = "join",
    [CORE_LEAVE] = "leave",
    [CORE_EXPEL] = "expel",
    [CORE_REVOKE] = "revoke",
    [CORE_PAUSE] = "pause",
    [CORE_RESUME] = "resume",
    [CORE_DRAIN] = "drain",
    [CORE_SHUT_DOWN] = "shut down",
    [CORE_BACK_SOON] = "back soon",
    [CORE_ASK_EXEC] = "ask exec",
    [CORE_ASK_PASS] = "ask pass",
    [CORE_ASK_OFFER] = "ask offer",
    [CORE_PUT_RECORD] = "put record",
    [CORE_GET_RECORD] = "get record",
    [CORE_PUT_CHUNK] = "put chunk",
    [CORE_STATUS] = "status",
    [CORE_SERVICES] = "services",
    [CORE_LOGS] = "logs",
    [CORE_LOOKUP] = "lookup",
    [CORE_DESCRIBE] = "describe",
    [CORE_STEP_ASIDE] = "step aside",
    [CORE_COME_BACK] = "come back",
};
static const char *const sandbox_names[] = {
    [SANDBOX_STARTED] = "started", [SANDBOX_ENDED] = "ended",   [SANDBOX_HEALTH] = "health",
    [SANDBOX_STATS] = "stats",     [SANDBOX_LISTED] = "listed",
};

static const char *short_id(const struct id *id, char text_out[ID_SHORT_CHARS + 1])
{
    id_to_short(id, text_out);
    return text_out;
}

static void print_message(struct bytes bytes)
{
    static minga_Message message;

    if (message_decode(bytes, &message) < 0) {
        printf(" %zu bytes that are no message", bytes.length_bytes);
        return;
    }
    printf(" %s, %zu bytes", message_kind_name(message.which_kind), bytes.length_bytes);
    if (message.request != 0) {
        printf(", request %016" PRIx64, message.request);
    }
}

static void print_overlay_event(const struct overlay_event *event)
{
    char name[ID_SHORT_CHARS + 1];

    printf("%s", NAME_IN(overlay_event_names, event->kind));
    if (event->kind == OVERLAY_RECEIVED) {
        print_message(event->message);
        if (event->source.inbound) {
            printf(", on inbound link %" PRIu64, event->source.link);
        } else {
            printf(", from %s", short_id(&event->source.node.id, name));
        }
    } else if (event->kind == OVERLAY_LINK_UP || event->kind == OVERLAY_LINK_LOST) {
        printf(" %s%s", short_id(&event->node.id, name), event->refused ? " (refused)" : "");
    } else if (event->kind == OVERLAY_STORED) {
        printf(" %" PRIu64 "%s", event->token, event->failed ? " (failed)" : "");
    }
    printf("\n");
}

static void print_sandbox(const struct sandbox_event *event)
{
    char name[ID_SHORT_CHARS + 1];

    printf("sandbox: %s/%u.%" PRIu64 " %s %s\n", short_id(&event->key.service.id, name),
           event->key.slot, event->key.incarnation, NAME_IN(sandbox_names, event->kind),
           event->reason);
}

void print_life(const struct recording_entry *entry)
{
    struct public_key key = keys_public(&entry->config.overlay.node_key);
    struct node_id node = keys_node_id(&key);
    char name[ID_SHORT_CHARS + 1];

    printf("# node %s (%s), recorded by mingad %s%s\n", short_id(&node.id, name),
           entry->config.overlay.description.name, entry->version,
           /* Both are texts of known length. */
           bytes_equal(bytes_of_text(entry->version), bytes_of_text(MINGA_VERSION))
               ? ""
               : ", which is another version than this program's: differences are to be expected");
}

void print_event(uint64_t number, uint64_t since_ms, const struct core_event *event)
{
    printf("[%8" PRIu64 ".%03" PRIu64 "] #%" PRIu64 " ", since_ms / 1000, since_ms % 1000, number);
    if (event->kind == CORE_OVERLAY) {
        print_overlay_event(event->overlay);
    } else if (event->kind == CORE_SANDBOX) {
        print_sandbox(event->sandbox);
    } else if (event->kind == CORE_REQUEST) {
        printf("request: %s\n", NAME_IN(request_names, event->request->kind));
    } else {
        printf("%s %s\n", NAME_IN(event_names, event->kind), event->reason);
    }
}

static void print_io(const struct overlay_effect *effect)
{
    char name[ID_SHORT_CHARS + 1];

    switch (effect->kind) {
    case OVERLAY_TRACE:
        printf("                > %.*s\n", (int)effect->message.length_bytes,
               (const char *)effect->message.data);
        break;
    case OVERLAY_SEND:
        printf("                - send");
        print_message(effect->message);
        printf(", to %s\n", short_id(&effect->peer.node.id, name));
        break;
    case OVERLAY_REPLY:
        printf("                - reply");
        print_message(effect->message);
        printf(", on inbound link %" PRIu64 "\n", effect->link);
        break;
    case OVERLAY_HANG_UP:
    case OVERLAY_STORE:
    case OVERLAY_STORE_CHUNK:
    case OVERLAY_DROP_CHUNK:
    case OVERLAY_WAKE:
    case OVERLAY_DIAL_BACK:
    case OVERLAY_RELAY:
    case OVERLAY_RELAYED:
    case OVERLAY_DELIVER:
    case OVERLAY_MEMBER:
    case OVERLAY_ARC:
    case OVERLAY_RECORD:
    case OVERLAY_DONE:
    default:
        printf("                - %s\n", NAME_IN(effect_names, effect->kind));
        break;
    }
}

static void print_effect(const struct core_effect *effect)
{
    if (effect->kind == CORE_IO) {
        print_io(effect->overlay);
    } else if (effect->kind == CORE_TRACE || effect->kind == CORE_UNREADY) {
        printf("                > %.*s\n", (int)sizeof(effect->text), effect->text);
    } else if (effect->kind == CORE_ANSWER) {
        printf("                - answer %" PRIx64 ": outcome %d %s\n", effect->answer.token,
               (int)effect->answer.outcome, effect->answer.reason);
    } else if (effect->kind != CORE_WAKE) {
        printf("                - %s\n", NAME_IN(core_effect_names, effect->kind));
    }
}

void print_effects(const struct core_effects *effects)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        print_effect(&effects->list[i]);
    }
}
