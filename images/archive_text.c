// SPDX-License-Identifier: GPL-3.0-or-later
/* The archive rules that need nothing but one path or one link, and following links by name. */
#include <string.h>

#include "base/attributes.h"
#include "base/check.h"
#include "images/archive_rules.h"

enum { NAME_BYTES_MAX = 255 /* of one component, on every file system */, LINKS_FOLLOWED_MAX = 40 };

/* The length of a valid UTF-8 sequence (RFC 3629, table 3-7 of Unicode), or 0. */
static size_t utf8_sequence_bytes(const unsigned char *text)
{
    unsigned char first = text[0];
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    size_t length_bytes = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4 || text[1] < low || text[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length_bytes; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length_bytes;
}

bool archive_text_is_utf8(const char *text)
{
    const unsigned char *position = (const unsigned char *)text;

    while (*position != '\0') {
        size_t length_bytes = utf8_sequence_bytes(position);

        if (length_bytes == 0) {
            return false;
        }
        position += length_bytes;
    }
    return true;
}

static const char *characters_fault(const char *text)
{
    if (!archive_text_is_utf8(text)) {
        return "name is not valid UTF-8";
    }
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return "name has control characters";
        }
    }
    return NULL;
}

static size_t component_bytes(const char *path)
{
    return strcspn(path, "/");
}

static bool component_is(const char *path, const char *name)
{
    return component_bytes(path) == strlen(name) && strncmp(path, name, strlen(name)) == 0;
}

/* Behind the component and the slashes that follow it. */
static const char *next_component(const char *path)
{
    path += component_bytes(path);
    return path + strspn(path, "/");
}

const char *archive_path_fault(const char *path)
{
    uint32_t depth = 0;

    if (path[0] == '/') {
        return "absolute path";
    }
    if (strlen(path) >= PATH_BYTES_MAX) {
        return "path too long";
    }
    for (const char *position = path;; position++) {
        size_t length_bytes = component_bytes(position);

        if (component_is(position, "..")) {
            return "path leads out of the tree";
        }
        if (length_bytes == 0 || component_is(position, ".")) {
            return "path has empty or \".\" parts";
        }
        if (length_bytes > NAME_BYTES_MAX) {
            return "name too long";
        }
        if (++depth > BUNDLE_DEPTH_MAX) {
            return "too deep";
        }
        position += length_bytes;
        if (*position == '\0') {
            return characters_fault(path);
        }
    }
}

static uint32_t depth_of(const char *path)
{
    uint32_t depth = 0;

    for (; *path != '\0'; path++) {
        depth += *path == '/' ? 1 : 0;
    }
    return depth;
}

/*
 * ".." in front climbs from where the link really is, since no folder above it is a link. Behind
 * a name it would climb from wherever that name leads: refused, so that no chain of links gets out.
 */
static const char *climbing_fault(const char *path, const char *target)
{
    uint32_t folders_above = depth_of(path);
    bool has_name = target[0] == '/';

    target += strspn(target, "/");
    for (; *target != '\0'; target = next_component(target)) {
        if (component_is(target, "..")) {
            if (has_name || folders_above == 0) {
                return "link leads out of the tree";
            }
            folders_above--;
        } else if (!component_is(target, ".")) {
            has_name = true;
        }
    }
    return NULL;
}

const char *archive_target_fault(const char *path, const char *target)
{
    const char *fault = characters_fault(target);

    if (target[0] == '\0') {
        return "link to nothing";
    }
    if (strlen(target) >= PATH_BYTES_MAX) {
        return "link too long";
    }
    if (target[0] == '/' && target[strspn(target, "/.")] == '\0') {
        return "link leads out of the tree";
    }
    return fault != NULL ? fault : climbing_fault(path, target);
}

bool archive_target_is_provided(const char *target)
{
    static const char *const exact[] = {
        "/proc/mounts", "/proc/self", "/dev/null",   "/dev/zero",   "/dev/full",     "/dev/random",
        "/dev/urandom", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd",       "/dev/shm",
        "/dev/tty",     "/dev/pts",   "/run",        "/tmp",        "/dev/pts/ptmx",
    };
    static const char *const below[] = {"/proc/self/", "/run/"};

    for (size_t i = 0; i < ARRAY_COUNT(exact); i++) {
        if (strcmp(target, exact[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(below); i++) {
        if (strncmp(target, below[i], strlen(below[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* What is left to walk, and where the walk has come to. */
struct walk {
    char rest[2 * PATH_BYTES_MAX];
    char here[PATH_BYTES_MAX];
};

static void climb(char *here)
{
    char *slash = strrchr(here, '/');

    *(slash == NULL ? here : slash) = '\0';
}

static bool descend(char *here, const char *component, size_t length_bytes)
{
    size_t here_bytes = strlen(here);
    size_t slash_bytes = here_bytes == 0 ? 0 : 1;

    if (here_bytes + slash_bytes + length_bytes >= PATH_BYTES_MAX) {
        return false;
    }
    if (slash_bytes == 1) {
        here[here_bytes] = '/';
    }
    memcpy(here + here_bytes + slash_bytes, component, length_bytes);
    here[here_bytes + slash_bytes + length_bytes] = '\0';
    return true;
}

/* Puts a link's target in front of what is left; `here` is the link itself. */
static bool follow(struct walk *walk, const char *target, const char *rest)
{
    char joined[2 * PATH_BYTES_MAX];
    size_t target_bytes = strlen(target);
    size_t rest_bytes = strlen(rest);

    if (target_bytes + 1 + rest_bytes >= sizeof(joined)) {
        return false;
    }
    memcpy(joined, target, target_bytes);
    joined[target_bytes] = '/';
    memcpy(joined + target_bytes + 1, rest, rest_bytes);
    joined[target_bytes + 1 + rest_bytes] = '\0';
    memcpy(walk->rest, joined, target_bytes + 1 + rest_bytes + 1);
    climb(walk->here);
    if (target[0] == '/') {
        walk->here[0] = '\0';
    }
    return true;
}

enum archive_found archive_resolve(archive_lookup *lookup, const void *context, const char *path,
                                   char *resolved_out)
{
    struct walk walk = {.here = ""};
    enum archive_found found = ARCHIVE_FOUND_FOLDER; /* the root */
    uint32_t link_count = 0;
    const char *position = walk.rest;

    if (strlen(path) >= sizeof(walk.rest)) {
        return ARCHIVE_FOUND_NOTHING;
    }
    memcpy(walk.rest, path, strlen(path) + 1);
    for (position += strspn(position, "/"); *position != '\0';) {
        const char *target = "";
        const char *next = next_component(position);

        if (found != ARCHIVE_FOUND_FOLDER) {
            return ARCHIVE_FOUND_NOTHING;
        }
        if (component_is(position, "..")) {
            climb(walk.here);
        } else if (!component_is(position, ".")) {
            if (!descend(walk.here, position, component_bytes(position))) {
                return ARCHIVE_FOUND_NOTHING;
            }
            found = lookup(context, walk.here, &target);
        }
        if (found == ARCHIVE_FOUND_LINK) {
            if (++link_count > LINKS_FOLLOWED_MAX || !follow(&walk, target, next)) {
                return ARCHIVE_FOUND_NOTHING;
            }
            found = ARCHIVE_FOUND_FOLDER;
            next = walk.rest + strspn(walk.rest, "/");
        }
        position = next;
    }
    memcpy(resolved_out, walk.here, strlen(walk.here) + 1);
    return found;
}
