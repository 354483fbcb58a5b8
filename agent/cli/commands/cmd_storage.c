// SPDX-License-Identifier: GPL-3.0-or-later
/* minga storage */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/session.h"
#include "base/cleanup.h"
#include "base/units.h"

enum { NOTE_BYTES = 96 };

/* "3", or "2-3" where chunks differ. */
static void print_copies(const json_t *line, char *text_out, size_t capacity_bytes)
{
    int64_t least = number_of(line, "copies_least");
    int64_t most = number_of(line, "copies_most");

    if (least == most) {
        snprintf(text_out, capacity_bytes, "%" PRIi64, least);
    } else {
        snprintf(text_out, capacity_bytes, "%" PRIi64 "-%" PRIi64, least, most);
    }
}

static void print_note(const json_t *line, char note_out[NOTE_BYTES])
{
    const char *state = text_of(line, "state");
    int64_t scarce = number_of(line, "scarce");

    note_out[0] = '\0';
    if (strcmp(state, "garbage") == 0) {
        snprintf(note_out, NOTE_BYTES, "no version needs it");
    } else if (strcmp(state, "unconfirmed") == 0) {
        snprintf(note_out, NOTE_BYTES, "no version with it was seen yet");
    } else if (scarce > 0) {
        snprintf(note_out, NOTE_BYTES, "%" PRIi64 " chunks with one copy", scarce);
    }
}

static void add_line(struct table *table, const json_t *line)
{
    const char *name = text_of(line, "name");
    char service[16];
    char owner[16];
    char version[24] = "-";
    char chunks[24];
    char size[UNITS_TEXT_BYTES_MAX];
    char copies[48];
    char note[NOTE_BYTES];

    short_id(text_of(line, "service"), service);
    short_id(text_of(line, "owner"), owner);
    if (number_of(line, "version") > 0) {
        snprintf(version, sizeof(version), "%" PRIi64, number_of(line, "version"));
    }
    snprintf(chunks, sizeof(chunks), "%" PRIi64, number_of(line, "chunks"));
    units_print_bytes((uint64_t)number_of(line, "bytes"), size);
    print_copies(line, copies, sizeof(copies));
    print_note(line, note);
    table_add(table, (const char *const[]){name[0] != '\0' ? name : service,
                                           owner[0] != '\0' ? owner : "-", version,
                                           text_of(line, "state"), chunks, size, copies, note});
}

static void print_stored(const struct session *session, const json_t *stored)
{
    static const char *const headings[] = {"SERVICE", "OWNER", "VERSION", "STATE",
                                           "CHUNKS",  "SIZE",  "COPIES",  "NOTE"};
    struct table table;
    const json_t *line;
    size_t i;

    table_init(&table, headings, ARRAY_COUNT(headings));
    table.expendable = ",CHUNKS,OWNER,NOTE,";
    json_array_foreach(stored, i, line)
    {
        add_line(&table, line);
    }
    print_table(session, &table);
}

static void print_share(const json_t *share)
{
    char used[UNITS_TEXT_BYTES_MAX];
    char limit[UNITS_TEXT_BYTES_MAX];
    char spare[UNITS_TEXT_BYTES_MAX];

    units_print_bytes((uint64_t)number_of(share, "used_bytes"), used);
    units_print_bytes((uint64_t)number_of(share, "limit_bytes"), limit);
    units_print_bytes((uint64_t)number_of(share, "spare_bytes"), spare);
    printf("share: %s of %s in use, %s of it can make room\n", used, limit, spare);
    if (text_of(share, "refuses")[0] != '\0') {
        printf("nothing is taken at present: %s\n", text_of(share, "refuses"));
    }
    if (number_of(share, "bad_chunks") > 0) {
        units_print_bytes((uint64_t)number_of(share, "bad_bytes"), spare);
        printf("bad: %" PRIi64
               " chunks (%s) cannot be read from this disk, or hold something else: "
               "they stay until copies take their place; look at the disk (journalctl -k)\n",
               number_of(share, "bad_chunks"), spare);
    }
    if (json_is_true(json_object_get(share, "shedding"))) {
        printf("more is here than is given: it goes when others have it\n");
    }
}

static void print_positions(const json_t *share)
{
    int64_t part_permille = number_of(share, "part_permille");
    char home[UNITS_TEXT_BYTES_MAX];

    units_print_bytes((uint64_t)number_of(share, "home_bytes"), home);
    printf("positions: %zu on the ring, where %s live",
           json_array_size(json_object_get(share, "positions")), home);
    if (part_permille > 0) {
        printf(", %.2f times its fair part", (double)part_permille / 1000);
    }
    printf("\n");
}

static void print_copy(const json_t *copy)
{
    char chunk[16];
    char to[16];
    const char *name = text_of(copy, "to_name");

    short_id(text_of(copy, "chunk"), chunk);
    short_id(text_of(copy, "to"), to);
    printf("repair: chunk %s to %s: %s\n", chunk, name[0] != '\0' ? name : to,
           text_of(copy, "why"));
}

static void print_absence(const json_t *absence)
{
    char away[UNITS_TEXT_BYTES_MAX];
    char patience[UNITS_TEXT_BYTES_MAX];
    char node[16];
    const char *name = text_of(absence, "node_name");

    short_id(text_of(absence, "node"), node);
    units_print_duration((uint64_t)number_of(absence, "away_s") * 1000, away);
    units_print_duration((uint64_t)number_of(absence, "patience_s") * 1000, patience);
    if (strcmp(text_of(absence, "state"), "gone") == 0) {
        printf("absent: %s for %s, longer than its habit: its copies are made again\n",
               name[0] != '\0' ? name : node, away);
    } else {
        printf("absent: %s for %s, expected back within %s\n", name[0] != '\0' ? name : node, away,
               patience);
    }
}

static void print_repair(const json_t *repair)
{
    char moved[UNITS_TEXT_BYTES_MAX];
    const json_t *element;
    size_t i;

    json_array_foreach(json_object_get(repair, "under_way"), i, element)
    {
        print_copy(element);
    }
    json_array_foreach(json_object_get(repair, "absent"), i, element)
    {
        print_absence(element);
    }
    units_print_bytes((uint64_t)number_of(repair, "moved_bytes"), moved);
    printf("since the start: %" PRIi64 " copies (%s) sent for repair, %" PRIi64
           " chunks found bad here\n",
           number_of(repair, "moved_chunks"), moved, number_of(repair, "rotten_chunks"));
}

int run_storage(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    int status = session_get(session, "/v1/storage", &document);

    (void)arguments;
    if (status != EXIT_DONE) {
        return status;
    }
    if (session->json) {
        print_document(document);
        return EXIT_DONE;
    }
    print_stored(session, json_object_get(document, "stored"));
    print_share(json_object_get(document, "share"));
    print_positions(json_object_get(document, "share"));
    print_repair(json_object_get(document, "repair"));
    return EXIT_DONE;
}
