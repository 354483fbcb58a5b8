// SPDX-License-Identifier: GPL-3.0-or-later
#include <criterion/criterion.h>
#include <errno.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PASSED, FAILED, SKIPPED, OUTCOMES };
/* A test that exits by itself has not come to its end. */
enum { ENDED = 64 };

static struct criterion_suite *suites;
static struct criterion_test *tests;
static struct criterion_test **tests_end = &tests;

/* Of the process that runs one test. */
static pid_t own_pid;
static int verdict;
static jmp_buf after_body;

void criterion_add_suite(struct criterion_suite *suite)
{
    suite->next = suites;
    suites = suite;
}

void criterion_add_test(struct criterion_test *test)
{
    *tests_end = test;
    tests_end = &test->next;
}

void criterion_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    va_list arguments;

    verdict = FAILED;
    fprintf(stderr, "[----] %s:%d: Assertion failed: %s:", file, line, condition);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
}

void criterion_end(void)
{
    if (getpid() != own_pid) { /* a process that the test made */
        _exit(EXIT_FAILURE);
    }
    longjmp(after_body, 1);
}

void criterion_skip(const char *format, ...)
{
    va_list arguments;

    verdict = SKIPPED;
    fprintf(stderr, "[SKIP]");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    criterion_end();
}

static struct criterion_options options_of(const char *suite_name)
{
    for (const struct criterion_suite *suite = suites; suite != NULL; suite = suite->next) {
        if (strcmp(suite->name, suite_name) == 0) {
            return suite->options;
        }
    }
    return (struct criterion_options){0};
}

static void call(void (*function)(void))
{
    if (function != NULL) {
        function();
    }
}

static void run(const struct criterion_test *test, const struct criterion_options *suite)
{
    own_pid = getpid();
    if (setjmp(after_body) == 0) {
        call(suite->init);
        call(test->options.init);
        test->body();
    }
    if (setjmp(after_body) == 0) {
        call(test->options.fini);
        call(suite->fini);
    }
    fflush(NULL);
    _exit(ENDED + verdict);
}

/* Returns what waitpid said; a test whose time is over is killed, with all of its process group. */
static int wait_for(pid_t pid, const sigset_t *child_ends, double seconds)
{
    const struct timespec step = {.tv_nsec = 50000000};
    struct timespec began;
    struct timespec now;
    int status = 0;

    clock_gettime(CLOCK_MONOTONIC, &began);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        (void)sigtimedwait(child_ends, NULL, &step);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (seconds > 0 && (double)(now.tv_sec - began.tv_sec) > seconds) {
            fprintf(stderr, "[FAIL] Timeout: %g s are over\n", seconds);
            kill(-pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
    }
    return status;
}

static int judge(const struct criterion_test *test)
{
    const struct criterion_options suite = options_of(test->suite);
    const double seconds = test->options.timeout > 0 ? test->options.timeout : suite.timeout;
    sigset_t child_ends;
    sigset_t before;

    sigemptyset(&child_ends);
    sigaddset(&child_ends, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_ends, &before);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        sigprocmask(SIG_SETMASK, &before, NULL);
        run(test, &suite);
    }
    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    setpgid(pid, pid);
    const int status = wait_for(pid, &child_ends, seconds);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "[----] Unexpected signal: %s\n", strsignal(WTERMSIG(status)));
        return FAILED;
    }
    const int outcome = WEXITSTATUS(status) - ENDED;

    return outcome >= 0 && outcome < OUTCOMES ? outcome : FAILED;
}

/* usage: PROGRAM [SUITE/NAME], with wildcards */
int main(int argc, char **argv)
{
    size_t counts[OUTCOMES] = {0};
    char name[512];

    for (const struct criterion_test *test = tests; test != NULL; test = test->next) {
        snprintf(name, sizeof(name), "%s/%s", test->suite, test->name);
        if (argc > 1 && fnmatch(argv[1], name, 0) != 0) {
            continue;
        }
        const int outcome = judge(test);

        counts[outcome]++;
        if (outcome == FAILED) {
            fprintf(stderr, "[FAIL] %s::%s\n", test->suite, test->name);
        }
    }
    fprintf(stderr, "[====] Synthesis: Tested: %zu | Passing: %zu | Failing: %zu | Skipped: %zu\n",
            counts[PASSED] + counts[FAILED] + counts[SKIPPED], counts[PASSED], counts[FAILED],
            counts[SKIPPED]);
    return counts[FAILED] > 0;
}
