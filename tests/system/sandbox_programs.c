// SPDX-License-Identifier: GPL-3.0-or-later
/* Ordinary programs of this machine under the seccomp filter. */
#include <stdio.h>

#include "tests/system/sandbox_checks.h"

/* A program of this machine with its libraries, as the script copied it; skipped without. */
static void check_program(struct world *world, uint8_t tree, const char *const *words,
                          const char *answer)
{
    struct sandbox_spec spec = world_spec(world, "");
    struct sandbox_event event = {0};
    static char output[WORLD_TEXT_BYTES];
    uint64_t until_ms;
    bool answers = false;

    spec.tree = (struct tree_id){{{tree}}};
    if (!world_has_tree(world, &spec.tree)) {
        printf("# skipped, not installed: %s\n", words[0]);
        return;
    }
    spec.limits.memory_bytes = 96 << 20;
    spec.limits.cpu_permille = 1000;
    world_set_command(&spec, words);
    world_publish(world, &spec, 8080);
    if (!check_saying(world, world_start(world, &spec), "an ordinary program starts", words[0])) {
        return;
    }
    for (until_ms = time_ms() + world_patience_ms(world, 8000); !answers && time_ms() < until_ms;
         wait_a_little(50)) {
        answers = fetch_contains(spec.ports[0].host_port, answer, 1000);
    }
    if (!check_saying(world, answers, "it answers", words[0])) {
        printf("# %s\n", world_output(world, &spec, output));
    }
    world_stop(world, &spec, &event);
}

void check_programs(struct world *world)
{
    static const char threads[] =
        "import http.server as h, threading as t, subprocess, ssl, sqlite3, asyncio, socket\n"
        "x=[t.Thread(target=print) for i in range(8)]; [i.start() for i in x]\n"
        "[i.join() for i in x]; sqlite3.connect('/tmp/db').execute('create table a (b)')\n"
        "asyncio.run(asyncio.sleep(0.01)); socket.getaddrinfo('localhost', 80)\n"
        "subprocess.run(['/usr/bin/python3', '-c', 'print(1)'], check=True)\n"
        "h.ThreadingHTTPServer(('127.0.0.1', 8080), h.SimpleHTTPRequestHandler).serve_forever()";
    static const char *const python[] = {"/usr/bin/python3", "-c", threads, NULL};
    static const char *const redis[] = {
        "/usr/bin/redis-server", "--port", "8080", "--dir", "/tmp", NULL};
    static const char *const nginx[] = {"/usr/sbin/nginx", "-c", "/nginx.conf", "-e",
                                        "/dev/stderr",     NULL};

    check_program(world, 0x61, python, "Directory listing");
    check_program(world, 0x62, redis, "ERR wrong number");
    check_program(world, 0x63, nginx, "hello from nginx");
}
