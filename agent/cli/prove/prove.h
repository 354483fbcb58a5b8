// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The parts of `minga prove`: a trial (trial.h) whose service is minga-probe, bait on the host
 * that it looks for, and what is judged from outside because it ends the probe.
 *
 *     list ------\
 *     control ----+--> one result per attempt --> table or document
 *     try --------/    (control: outside, as nobody; try: in a sandbox)
 */
#include "agent/cli/trial/trial.h"
#include "sandbox/client.h"

enum {
    PROVE_ATTEMPTS_MAX = 1024,
    PROVE_FACTS_MAX = 24,
    PROVE_FACT_BYTES_MAX = 160,
    PROVE_OUTPUT_BYTES_MAX = 1 << 20,
};

enum prove_result {
    PROVE_UNSURE,  /* it failed, but that says nothing */
    PROVE_STOPPED, /* the sandbox refused it */
    PROVE_OPEN,    /* it worked, and must not */
    PROVE_MEANT,   /* it works on purpose */
    PROVE_ABSENT,  /* this machine has nothing of the kind */
    PROVE_RESULTS,
};

struct prove_attempt {
    char group[24];
    char name[72];
    char meant[72];   /* "": it must not work */
    char detail[128]; /* what stopped it, or what it got */
    bool is_absent;
    enum prove_result result;
};

/* What the host offers to whoever gets out; closed and removed by bait_done. */
struct bait {
    int fds[4];
    int shm_id;          /* -1: none */
    char shm_name[64];   /* "": none */
    uint32_t fact_count; /* KEY=VALUE for minga-probe */
    char facts[PROVE_FACTS_MAX][PROVE_FACT_BYTES_MAX];
};

struct prove {
    struct session *session;
    struct trial trial;
    struct sandbox_client client;
    struct helper_answer answer;
    struct sandbox_spec spec;   /* of the sandbox that runs */
    struct sandbox_event event; /* the newest of it */
    char probe[1024];           /* path of minga-probe */
    struct bait bait;
    uint32_t attempt_count;
    struct prove_attempt attempts[PROVE_ATTEMPTS_MAX];
};

/* --- prove_bait.c --- */

void bait_init(struct bait *bait);
/* Puts it out: files in the trial's folders, listening sockets, shared memory. */
int bait_lay(struct session *session, const struct trial *trial, struct bait *bait);
void bait_done(struct bait *bait);

/* --- prove_host.c: minga-probe outside of any sandbox --- */

/* Finds the program beside this one. */
int prove_find_probe(struct prove *prove);
/* Fills in the names of the attempts, and which of them this machine has nothing for. */
int prove_list(struct prove *prove);
int prove_control(struct prove *prove);

/* --- prove_sandbox.c --- */

/* Makes the probe's tree and starts the helper. */
int prove_open(struct prove *prove);
/* Starts a sandbox that runs the probe with these words (NULL at the end). */
int prove_start(struct prove *prove, const char *const *words);
/* Until it has ended (true), or the time is over. */
bool prove_await_end(struct prove *prove, uint64_t ms_max);
/* Lets it run for so long, then asks what it uses: into prove->event. False when it has ended. */
bool prove_measure(struct prove *prove, uint64_t ms);
/* Asks it to stop. */
void prove_stop(struct prove *prove);
/* What it has printed, as a text. */
int prove_output(struct prove *prove, struct buffer *output);

/* --- prove_judge.c --- */

/* The attempts of minga-probe, in one sandbox. */
int prove_try(struct prove *prove);
/* What ends a sandbox or has to be held from outside, one sandbox each; adds attempts. */
int prove_hogs(struct prove *prove);
