// SPDX-License-Identifier: GPL-3.0-or-later
/* What is read of a machine, from folders made here; and the time zone's changes. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/mingad/owner/local_zone.h"
#include "agent/mingad/owner/sense_files.h"
#include "tests/unit/made_folder.h"

TestSuite(senses, .init = made_folder_begin, .fini = made_folder_end);

static void put_battery(const char *status, const char *capacity)
{
    made_folder_put("/sys/class/power_supply/BAT0/type", "Battery\n");
    made_folder_put("/sys/class/power_supply/BAT0/status", status);
    made_folder_put("/sys/class/power_supply/BAT0/capacity", capacity);
}

Test(senses, a_machine_without_anything_is_neither_on_battery_nor_hot_nor_used)
{
    struct owner_senses senses = {0};

    sense_power(made_folder, &senses);
    sense_heat(made_folder, &senses);
    sense_interfaces(made_folder, &senses);
    cr_assert_eq(senses.on_battery, OWNER_NO);
    cr_assert_eq(senses.battery_percent, UINT32_MAX);
    cr_assert_eq(senses.celsius, 0);
    cr_assert_eq(senses.network_count, 0);
    cr_assert_eq(sense_terminals_unix_ms(made_folder), 0);
    cr_assert_eq(sense_input_count(made_folder), 0);
    cr_assert_eq(sense_cpu(made_folder).all_ticks, 0);
    cr_assert(!sense_sees_programs(made_folder));
}

Test(senses, a_battery_counts_when_it_empties_and_no_mains_is_there)
{
    struct owner_senses senses = {0};

    put_battery("Discharging\n", "42\n");
    sense_power(made_folder, &senses);
    cr_assert_eq(senses.on_battery, OWNER_YES);
    cr_assert_eq(senses.battery_percent, 42);
    made_folder_put("/sys/class/power_supply/AC/type", "Mains\n");
    made_folder_put("/sys/class/power_supply/AC/online", "1\n");
    sense_power(made_folder, &senses);
    cr_assert_eq(senses.on_battery, OWNER_NO);
    made_folder_put("/sys/class/power_supply/AC/online", "0\n");
    sense_power(made_folder, &senses);
    cr_assert_eq(senses.on_battery, OWNER_YES);
    put_battery("Charging\n", "43\n");
    sense_power(made_folder, &senses);
    cr_assert_eq(senses.on_battery, OWNER_NO);
}

Test(senses, a_mouses_battery_is_not_the_machines)
{
    struct owner_senses senses = {0};

    put_battery("Discharging\n", "3\n");
    made_folder_put("/sys/class/power_supply/BAT0/scope", "Device\n");
    sense_power(made_folder, &senses);
    cr_assert_eq(senses.on_battery, OWNER_NO);
    cr_assert_eq(senses.battery_percent, UINT32_MAX);
}

Test(senses, the_hottest_zone_counts_and_a_broken_sensor_does_not)
{
    struct owner_senses senses = {0};

    made_folder_put("/sys/class/thermal/thermal_zone0/temp", "41000\n");
    made_folder_put("/sys/class/thermal/thermal_zone1/temp", "83500\n");
    made_folder_put("/sys/class/thermal/thermal_zone2/temp", "-274000\n");
    made_folder_put("/sys/class/thermal/thermal_zone3/temp", "655350\n");
    made_folder_put("/sys/class/thermal/cooling_device0/temp", "99000\n");
    sense_heat(made_folder, &senses);
    cr_assert_eq(senses.celsius, 83);
}

Test(senses, the_interface_of_the_default_route_is_the_network)
{
    struct owner_senses senses = {0};

    made_folder_put(
        "/proc/net/route",
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
        "eth0\t0001A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0\n");
    made_folder_put(
        "/proc/net/ipv6_route",
        "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
        "fe800000000000000000000000000001 00000400 00000001 00000000 00000003    wwan0\n"
        "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
        "00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n"
        "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 "
        "00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1\n");
    sense_interfaces(made_folder, &senses);
    cr_assert_eq(senses.network_count, 2);
    cr_assert_str_eq(senses.networks[0], "wlan0");
    cr_assert_str_eq(senses.networks[1], "wwan0");
}

Test(senses, a_named_program_is_found_also_by_a_name_longer_than_the_kernels)
{
    struct owner_rules rules = {.count = 1};
    struct owner_senses senses = {0};

    rules.list[0].when.programs =
        (struct owner_words){3, {"steam", "blender", "a-very-long-program"}};
    made_folder_put("/proc/1/comm", "systemd\n");
    made_folder_put("/proc/77/comm", "blender\n");
    made_folder_put("/proc/78/comm", "blender\n");
    made_folder_put("/proc/79/comm", "a-very-long-pro\n");
    made_folder_put("/proc/sys/comm", "steam\n");
    cr_assert(sense_sees_programs(made_folder));
    sense_programs(made_folder, &rules, &senses);
    cr_assert_eq(senses.program_count, 2);
}

Test(senses, a_terminal_that_was_read_from_and_a_keyboards_interrupts_are_use)
{
    char path[128];
    struct timespec times[2] = {{.tv_sec = 1790000000}, {.tv_sec = 1}};

    made_folder_put("/dev/pts/0", "");
    made_folder_put("/dev/pts/ptmx", "");
    snprintf(path, sizeof(path), "%s/dev/pts/0", made_folder);
    cr_assert_eq(utimensat(AT_FDCWD, path, times, 0), 0);
    cr_assert_eq(sense_terminals_unix_ms(made_folder), 1790000000000);
    made_folder_put("/proc/interrupts",
                    "            CPU0       CPU1\n"
                    "   1:       100        23  IO-APIC    1-edge      i8042\n"
                    "  12:         0         7  IO-APIC   12-edge      i8042\n"
                    "  16:    999999         0  IO-APIC   16-fasteoi   ehci_hcd\n");
    cr_assert_eq(sense_input_count(made_folder), 130);
}

Test(senses, the_processors_time_is_busy_and_idle)
{
    made_folder_put("/proc/stat", "cpu  100 20 30 1000 50 1 2 3 7 7\ncpu0 1 2 3 4\n");
    cr_assert_eq(sense_cpu(made_folder).busy_ticks, 156);
    cr_assert_eq(sense_cpu(made_folder).all_ticks, 1206);
}

Test(senses, the_next_change_of_the_clock_is_found_to_the_second)
{
    struct local_zone zone;

    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    local_zone_look(1774746000 - 3 * 86400 - 17, &zone); /* before 2026-03-29 01:00 UTC */
    cr_assert_eq(zone.offset_s, 3600);
    cr_assert_eq(zone.change_count, 1);
    cr_assert_eq(zone.changes[0].at_unix_s, 1774746000);
    cr_assert_eq(zone.changes[0].offset_s, 7200);
    setenv("TZ", "UTC0", 1);
    local_zone_look(1774746000, &zone);
    cr_assert_eq(zone.change_count, 0);
    cr_assert_eq(zone.offset_s, 0);
}
