// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/health.h"

#include <criterion/criterion.h>
#include <string.h>

static struct sandbox_spec with_probe(void)
{
    struct sandbox_spec spec;

    memset(&spec, 0, sizeof(spec));
    spec.port_count = 1;
    spec.ports[0] = (struct sandbox_port){80, 31000, SANDBOX_TCP};
    spec.health = (struct sandbox_health){.container_port = 81,
                                          .interval_ms = 5000,
                                          .timeout_ms = 2000,
                                          .failures_max = 3,
                                          .grace_ms = 10000};
    return spec;
}

Test(health, a_service_without_ports_is_well_at_once_and_never_asked)
{
    struct sandbox_spec spec = {.port_count = 0};
    struct health health;

    health_init(&health, &spec, 1000);
    cr_assert_eq(health.state, HEALTH_OK);
    cr_assert_not(health_due(&health, UINT64_MAX - 1));
}

Test(health, a_command_is_asked_like_a_port)
{
    struct sandbox_spec spec = with_probe();
    struct health health;

    spec.port_count = 0;
    spec.health.container_port = 0;
    spec.health.argument_count = 1;
    memcpy(spec.health.arguments, "/bin/check", sizeof("/bin/check"));
    health_init(&health, &spec, 1000);
    cr_assert_eq(health.state, HEALTH_UNKNOWN);
    cr_assert(health_due(&health, 1000));
    cr_assert(health_result(&health, true, 1010));
    cr_assert_eq(health.state, HEALTH_OK);
    cr_assert_not(health_due(&health, 1010 + 4999));
    cr_assert(health_due(&health, 1010 + 5000), "again and again, unlike without a probe");
}

Test(health, a_service_with_ports_is_asked_until_its_first_port_answers)
{
    struct sandbox_spec spec = with_probe();
    struct health health;

    spec.health = (struct sandbox_health){0};
    health_init(&health, &spec, 1000);
    cr_assert_eq(health.state, HEALTH_UNKNOWN);
    cr_assert_eq(health.settings.container_port, 80);
    cr_assert(health_due(&health, 1000));
    cr_assert_not(health_due(&health, 1000), "one at a time");
    cr_assert_not(health_result(&health, false, 1001));
    cr_assert_not(health_due(&health, 1001 + HEALTH_FIRST_MS - 1));
    cr_assert(health_due(&health, 1001 + HEALTH_FIRST_MS));
    cr_assert(health_result(&health, true, 1102));
    cr_assert_eq(health.state, HEALTH_OK);
    cr_assert_not(health_due(&health, UINT64_MAX - 1));
}

Test(health, a_service_that_never_opens_its_port_is_asked_less_often_and_stays_unknown)
{
    struct sandbox_spec spec = with_probe();
    struct health health;

    spec.health = (struct sandbox_health){0};
    health_init(&health, &spec, 1000);
    for (uint64_t now_ms = 1000; now_ms < 100000; now_ms += HEALTH_FIRST_MS_SLOW) {
        cr_assert(health_due(&health, now_ms));
        cr_assert_not(health_result(&health, false, now_ms));
    }
    cr_assert_not(health_due(&health, 99000 + HEALTH_FIRST_MS_SLOW - 1));
    cr_assert_eq(health.state, HEALTH_UNKNOWN);
}

Test(health, failures_within_the_grace_do_not_count)
{
    struct sandbox_spec spec = with_probe();
    struct health health;

    health_init(&health, &spec, 1000);
    for (unsigned i = 0; i < 10; i++) {
        cr_assert(health_due(&health, health.wakeup_ms));
        cr_assert_not(health_result(&health, false, 1000 + 100 * i));
    }
    cr_assert_eq(health.failures, 0);
    cr_assert(health_due(&health, 10999));
    cr_assert_not(health_result(&health, false, 10999));
    cr_assert_eq(health.failures, 0);
    cr_assert(health_due(&health, health.wakeup_ms));
    cr_assert_not(health_result(&health, false, 11000));
    cr_assert_eq(health.failures, 1);
}

Test(health, so_many_failures_in_a_row_are_failing_and_one_success_is_well)
{
    struct sandbox_spec spec = with_probe();
    struct health health;
    const bool results[] = {true, false, false, true, false, false, false, false, true};
    const bool changes[] = {true, false, false, false, false, false, true, false, true};
    uint64_t now_ms = 20000;

    health_init(&health, &spec, 1000);
    for (unsigned i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        cr_assert(health_due(&health, now_ms));
        cr_assert_eq(health_result(&health, results[i], now_ms), changes[i], "result %u", i);
        cr_assert_not(health_due(&health, now_ms + 4999));
        now_ms += 5000;
    }
    cr_assert_eq(health.state, HEALTH_OK);
}

Test(health, an_interval_shorter_than_the_first_one_is_kept)
{
    struct sandbox_spec spec = with_probe();
    struct health health;

    spec.health.interval_ms = 10;
    health_init(&health, &spec, 1000);
    cr_assert(health_due(&health, 1000));
    (void)health_result(&health, false, 1000);
    cr_assert(health_due(&health, 1010));
}
