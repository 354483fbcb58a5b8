// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/keys.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"

static struct secret_key key_number(uint8_t number)
{
    uint8_t seed[KEY_SEED_BYTES] = {number};
    struct secret_key secret;

    keys_from_seed(seed, &secret);
    return secret;
}

Test(keys, a_signature_holds_for_its_key_purpose_and_bytes_only)
{
    struct secret_key secret = key_number(1);
    struct secret_key other = key_number(2);
    struct public_key key = keys_public(&secret);
    struct public_key other_key = keys_public(&other);
    struct bytes body = bytes_of_text("three replicas");
    struct signature signature = keys_sign(&secret, "minga record", body);

    cr_assert(keys_verify(&key, "minga record", body, &signature));
    cr_assert(!keys_verify(&other_key, "minga record", body, &signature));
    cr_assert(!keys_verify(&key, "minga expulsion", body, &signature));
    cr_assert(!keys_verify(&key, "minga record", bytes_of_text("three replicaS"), &signature));
    for (size_t i = 0; i < SIGNATURE_BYTES; i++) {
        signature.bytes[i] ^= 1;
        cr_assert(!keys_verify(&key, "minga record", body, &signature));
        signature.bytes[i] ^= 1;
    }
}

Test(keys, the_curve_key_of_a_public_key_is_that_of_its_secret)
{
    struct secret_key secret = key_number(3);
    struct public_key key = keys_public(&secret);
    struct curve_keypair pair;
    uint8_t derived[32];

    cr_assert_eq(keys_curve(&secret, &pair), 0);
    cr_assert_eq(keys_curve_public(&key, derived), 0);
    cr_assert_eq(memcmp(derived, pair.public_bytes, 32), 0);
}

Test(keys, ids_of_one_key_differ_by_kind_and_services_by_name)
{
    struct secret_key secret = key_number(4);
    struct public_key key = keys_public(&secret);
    struct node_id node = keys_node_id(&key);
    struct owner_id owner = keys_owner_id(&key);
    struct service_id wiki = keys_service_id(&key, "wiki");
    struct service_id blog = keys_service_id(&key, "blog");
    struct ring_key first = keys_position(&key, 0);
    struct ring_key second = keys_position(&key, 1);

    cr_assert(!id_equal(&node.id, &owner.id));
    cr_assert(!id_equal(&wiki.id, &blog.id));
    cr_assert(!id_equal(&first.id, &second.id));
}

static void with_folder(char path[64])
{
    snprintf(path, 64, "/tmp/minga-keys-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
}

Test(keys, a_saved_key_is_loaded_again_and_never_overwritten)
{
    struct secret_key secret = key_number(5);
    struct secret_key other = key_number(6);
    struct secret_key back;
    struct stat status;
    struct err err = {0};
    char folder[64];
    char path[96];

    with_folder(folder);
    snprintf(path, sizeof(path), "%s/owner.key", folder);
    cr_assert_eq(keys_save(path, &secret, &err), 0, "%s", err.text);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600);
    cr_assert_eq(keys_save(path, &other, &err), -EEXIST);
    cr_assert_eq(keys_load(path, &back, &err), 0, "%s", err.text);
    cr_assert_eq(memcmp(&back, &secret, sizeof(back)), 0);
    unlink(path);
    cr_assert_eq(rmdir(folder), 0, "nothing else was left in the folder");
}

Test(keys, a_key_file_that_others_can_read_or_that_is_no_key_is_refused)
{
    struct secret_key secret = key_number(7);
    struct secret_key back;
    struct err err = {0};
    char folder[64];
    char path[96];

    with_folder(folder);
    snprintf(path, sizeof(path), "%s/owner.key", folder);
    cr_assert_eq(keys_save(path, &secret, &err), 0);
    cr_assert_eq(chmod(path, 0644), 0);
    cr_assert_eq(keys_load(path, &back, &err), -EPERM);
    cr_assert(strstr(err.hint, "chmod 600") != NULL);
    cr_assert_eq(file_write_atomic(AT_FDCWD, path, bytes_of_text("not a key\n"), 0600, &err), 0);
    cr_assert_eq(keys_load(path, &back, &err), -EINVAL);
    unlink(path);
    rmdir(folder);
}

Test(keys, a_hash_depends_on_its_purpose)
{
    struct id chunk = hash_of(HASH_CHUNK, bytes_of_text("x"));
    struct id node = hash_of(HASH_NODE, bytes_of_text("x"));

    cr_assert(!id_equal(&chunk, &node));
}
