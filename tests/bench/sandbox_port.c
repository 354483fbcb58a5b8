// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * sandbox_port FOLDER BIN: starts a real replica that serves with bench_port behind a published
 * port, and runs `bench_port ask` against that. As root; tests/bench/sandbox.sh makes the folder.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/system/sandbox_world.h"

enum { STOP_MS_MAX = 20000, RENEW_S = 5, CONTAINER_PORT = 9000, CORES_PERMILLE = 2000 };

/* Asks in a child, and keeps the replica's lease meanwhile. */
static bool ask(struct world *world, const struct sandbox_spec *spec)
{
    char program[WORLD_PATH_BYTES + 16];
    char port[8];
    int status = 0;
    pid_t pid = fork();

    snprintf(program, sizeof(program), "%s/bench_port", world->bin);
    snprintf(port, sizeof(port), "%u", spec->ports[0].host_port);
    if (pid == 0) {
        execl(program, program, "ask", port, NULL);
        _exit(127);
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        sandbox_client_renew(&world->client, &spec->key);
        usleep(100000);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
    static struct world world;
    const char *const words[] = {"/bin/bench_port", "serve", "9000", NULL};
    char program[WORLD_PATH_BYTES + 16];

    if (argc != 3) {
        fprintf(stderr, "usage: %s FOLDER BIN\n", argv[0]);
        return 2;
    }
    world_init_giving(&world, argv[1], argv[2], CORES_PERMILLE);
    snprintf(program, sizeof(program), "%s/bench_port", argv[2]);
    world_add_program(&world, program, "bin/bench_port");
    if (!world_start_helper(&world, true) || !world_connect(&world)) {
        fprintf(stderr, "no minga-sandboxd\n");
        return 1;
    }
    struct sandbox_spec spec = world_spec(&world, "");
    world_set_command(&spec, words);
    world_publish(&world, &spec, CONTAINER_PORT);
    spec.limits.cpu_permille = CORES_PERMILLE;
    bool done = world_start(&world, &spec) && ask(&world, &spec);
    return world_end_helper(&world, SIGTERM, STOP_MS_MAX) && done ? 0 : 1;
}
