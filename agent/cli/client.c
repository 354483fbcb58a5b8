// SPDX-License-Identifier: GPL-3.0-or-later
/* HTTP to the agent over its unix socket. */
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/cli/session.h"
#include "base/units.h"

enum { REPLY_BYTES_MAX = 64 * 1048576, CALL_S_MAX = 60, CONNECT_S_MAX = 5 };

void reply_done(struct reply *reply)
{
    json_decref(reply->document);
    buffer_done(&reply->bytes);
    memset(reply, 0, sizeof(*reply));
}

void session_done(struct session *session)
{
    curl_easy_cleanup(session->curl);
    session->curl = NULL;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    return buffer_append(context, data, size * count) == 0 ? size * count : 0;
}

/* "Minga-Offset: 12\r\n" */
static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    struct reply_window *window = context;
    char line[64];
    size_t length = size * count;

    if (length >= 2 && length < sizeof(line)) {
        memcpy(line, data, length);
        line[length - 2] = '\0';
        if (strncasecmp(line, "Minga-Offset: ", 14) == 0) {
            (void)units_parse_number(line + 14, &window->offset);
        } else if (strncasecmp(line, "Minga-Ended: ", 13) == 0) {
            window->ended = strcmp(line + 13, "1") == 0;
        }
    }
    return length;
}

void request_prepare(void *easy, const char *socket_path, struct buffer *bytes_out,
                     struct reply_window *window_out)
{
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, bytes_out);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, window_out);
}

static int no_agent(struct session *session, CURLcode code)
{
    long os_errno = 0;

    curl_easy_getinfo(session->curl, CURLINFO_OS_ERRNO, &os_errno);
    if (code == CURLE_OPERATION_TIMEDOUT) {
        problem_set(&session->problem, EXIT_LATE, "agent", "no answer in time at %s",
                    session->socket_path);
        return problem_advise(&session->problem, "see the agent's log");
    }
    if (os_errno == EACCES || os_errno == EPERM) {
        problem_set(&session->problem, EXIT_NO_AGENT, "not permitted", "%s: %s",
                    session->socket_path, strerrordesc_np((int)os_errno));
        return problem_advise(&session->problem, "try sudo");
    }
    if (code == CURLE_COULDNT_CONNECT) {
        problem_set(&session->problem, EXIT_NO_AGENT, "no agent", "nothing answers at %s",
                    session->socket_path);
        return access("/run/systemd/system", F_OK) == 0 &&
                       strcmp(session->socket_path, SOCKET_DEFAULT) == 0
                   ? problem_advise(&session->problem, "sudo systemctl start mingad; journalctl -u "
                                                       "mingad says why it does not run")
                   : problem_advise(&session->problem,
                                    "start mingad, or choose another agent with --socket PATH");
    }
    return problem_set(&session->problem, EXIT_NO_AGENT, "agent", "%s", curl_easy_strerror(code));
}

static int refused(struct session *session, const struct reply *reply)
{
    const json_t *error = json_object_get(reply->document, "error");
    int status = EXIT_REFUSED;

    if (reply->status == 403) {
        status = EXIT_NO_AGENT;
    } else if (reply->status == 404) {
        status = EXIT_NOT_FOUND;
    } else if (reply->status == 504) {
        status = EXIT_LATE;
    }
    if (error == NULL) {
        return problem_set(&session->problem, status, "agent", "answered with HTTP status %u",
                           reply->status);
    }
    problem_set(&session->problem, status, text_of(error, "what"), "%s", text_of(error, "why"));
    return problem_advise(&session->problem, "%s", text_of(error, "do"));
}

static int prepare(struct session *session, struct reply *reply)
{
    if (strlen(session->socket_path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        return problem_set(&session->problem, EXIT_NO_AGENT, "agent",
                           "the socket's path is too long: %s", session->socket_path);
    }
    if (session->curl == NULL) {
        session->curl = curl_easy_init();
    }
    if (session->curl == NULL) {
        return problem_set(&session->problem, EXIT_REFUSED, "HTTP", "no memory");
    }
    request_prepare(session->curl, session->socket_path, &reply->bytes, &reply->window);
    curl_easy_setopt(session->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S_MAX);
    curl_easy_setopt(session->curl, CURLOPT_TIMEOUT,
                     (long)(session->patience_s > 0 ? session->patience_s : CALL_S_MAX));
    session->answered = false;
    reply->bytes.bytes_max = REPLY_BYTES_MAX;
    return EXIT_DONE;
}

static int perform(struct session *session, const char *path, struct reply *reply)
{
    char url[512];
    char *type = NULL;
    long status = 0;
    CURLcode code;

    snprintf(url, sizeof(url), "http://minga%s", path);
    curl_easy_setopt(session->curl, CURLOPT_URL, url);
    code = curl_easy_perform(session->curl);
    if (code != CURLE_OK) {
        return no_agent(session, code);
    }
    session->answered = true;
    curl_easy_getinfo(session->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(session->curl, CURLINFO_CONTENT_TYPE, &type);
    reply->status = (unsigned)status;
    if (type != NULL && strcmp(type, "application/json") == 0) {
        reply->document =
            json_loadb((const char *)reply->bytes.data, reply->bytes.length_bytes, 0, NULL);
    }
    return status == 200 ? EXIT_DONE : refused(session, reply);
}

bool session_may_pass(const struct session *session, int status)
{
    return !session->answered || status == EXIT_LATE;
}

/* The usual end: the document goes to the caller. */
static int give_document(struct session *session, struct reply *reply, int status,
                         json_t **document_out)
{
    if (status == EXIT_DONE && reply->document == NULL) {
        status = problem_set(&session->problem, EXIT_REFUSED, "agent", "answered no JSON");
    }
    if (status == EXIT_DONE && document_out != NULL) {
        *document_out = json_incref(reply->document);
    }
    reply_done(reply);
    return status;
}

int session_get(struct session *session, const char *path, json_t **document_out)
{
    struct reply reply = {0};
    int status = prepare(session, &reply);

    if (status == EXIT_DONE) {
        status = perform(session, path, &reply);
    }
    return give_document(session, &reply, status, document_out);
}

int session_find(struct session *session, const char *path, json_t **document_out)
{
    int status = session_get(session, path, document_out);

    if (status == EXIT_NOT_FOUND) {
        memset(&session->problem, 0, sizeof(session->problem));
        *document_out = NULL;
        return EXIT_DONE;
    }
    return status;
}

int session_get_bytes(struct session *session, const char *path, struct reply *reply_out)
{
    int status;

    memset(reply_out, 0, sizeof(*reply_out));
    status = prepare(session, reply_out);
    if (status == EXIT_DONE) {
        status = perform(session, path, reply_out);
    }
    if (status != EXIT_DONE) {
        reply_done(reply_out);
    }
    return status;
}

void session_note_copies(struct session *session, const json_t *answer)
{
    uint32_t copies = (uint32_t)number_of(answer, "copies");

    if (copies != 0 && (session->copies_least == 0 || copies < session->copies_least)) {
        session->copies_least = copies;
    }
}

json_t *session_copies(const struct session *session)
{
    return session->copies_least == 0 ? json_null() : json_integer(session->copies_least);
}

void session_warn_alone(const struct session *session)
{
    if (session->copies_least == 1 && !session->json) {
        progress(session, "%s", "");
        remark("minga: this lies on one disk alone, for no other member that could keep it is "
               "reached; it spreads by itself when one is, and is lost if that disk is before");
    }
}

static int post(struct session *session, const char *path, struct bytes body, const char *type,
                struct reply *reply)
{
    struct curl_slist *headers = curl_slist_append(NULL, type);
    int status = prepare(session, reply);

    if (status == EXIT_DONE) {
        curl_easy_setopt(session->curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(session->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.length_bytes);
        curl_easy_setopt(session->curl, CURLOPT_POSTFIELDS,
                         body.length_bytes > 0 ? (const char *)body.data : "");
        status = perform(session, path, reply);
    }
    curl_slist_free_all(headers);
    return status;
}

int session_post_bytes(struct session *session, const char *path, struct bytes body,
                       json_t **document_out)
{
    struct reply reply = {0};
    int status = post(session, path, body, "Content-Type: application/octet-stream", &reply);

    return give_document(session, &reply, status, document_out);
}

int session_post(struct session *session, const char *path, json_t *body, json_t **document_out)
{
    struct reply reply = {0};
    char *text = body == NULL ? strdup("{}") : json_dumps(body, JSON_COMPACT);
    int status;

    json_decref(body);
    if (text == NULL) {
        return problem_set(&session->problem, EXIT_REFUSED, "request", "no memory");
    }
    status = post(session, path, bytes_of_text(text), "Content-Type: application/json", &reply);
    free(text);
    return give_document(session, &reply, status, document_out);
}
