/* Records of the vault: what is put is what is got, and nothing is put that could not be got. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/store/vault.h"
#include "protocol/memory.h"
#include "tests/unit.h"

#define SANDBOX "3d22d057-3152-4963-b2cd-cbabab00ceb1"

static json_t *record_of(size_t len)
{
    scoped(string) char *text = xmalloc(len + 1);
    memset(text, 'x', len);
    text[len] = '\0';
    return json_pack("{s:s}", "text", text);
}

static void test_what_cannot_be_got_is_not_put(void **state)
{
    char folder[] = "/tmp/vault_test-XXXXXX";
    struct err e = {0};
    (void)state;
    assert_non_null(mkdtemp(folder));
    struct vault *v = vault_open(folder, &e);
    assert_non_null(v);
    json_t *small = record_of(1000), *large = record_of(64u * 1024 * 1024);
    assert_true(vault_put(v, SANDBOX, "a", small, &e));
    assert_false(vault_put(v, SANDBOX, "a", large, &e));
    assert_int_equal(e.status, 413);
    json_t *found = vault_get(v, SANDBOX, "a", &e);
    assert_true(json_equal(found, small)); /* it is as it was */
    json_decref(found);
    json_decref(small);
    json_decref(large);
    vault_remove(v, SANDBOX);
    vault_close(v);
    scoped(string) char *key = xasprintf("%s/snapshot.key", folder);
    scoped(string) char *snapshots = xasprintf("%s/snapshots", folder);
    unlink(key);
    rmdir(snapshots);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_cannot_be_got_is_not_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
