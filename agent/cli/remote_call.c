// SPDX-License-Identifier: GPL-3.0-or-later
/* Requests to the agent, several at once. */
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/remote.h"

enum { REPLY_BYTES_MAX = 128 << 10, CALL_MS_MAX = 20000, CONNECT_MS_MAX = 5000 };

static bool make_easy(struct remote *remote, struct remote_call *call)
{
    if (call->easy == NULL) {
        call->easy = curl_easy_init();
        call->headers = curl_slist_append(NULL, "Content-Type: application/octet-stream");
        call->reply.bytes_max = REPLY_BYTES_MAX;
    }
    if (call->easy == NULL || call->headers == NULL) {
        return false;
    }
    request_prepare(call->easy, remote->session->socket_path, &call->reply, &call->window);
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS_MAX);
    curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)CALL_MS_MAX);
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    return true;
}

bool call_begin(struct remote *remote, struct remote_job *job, struct remote_call *call,
                const char *what)
{
    bool is_write = strcmp(what, "write") == 0;

    if (!make_easy(remote, call)) {
        return false;
    }
    call->reply.length_bytes = 0;
    call->window = (struct reply_window){0};
    snprintf(call->what, sizeof(call->what), "%s", what);
    snprintf(call->url, sizeof(call->url),
             "http://minga/v1/exec/%s?what=%s&session=%s&offset=%" PRIu64 "&taken=%" PRIu64
             "&size=%d",
             job->node, what, job->session, is_write ? job->written_bytes : job->read_bytes,
             job->read_bytes, REMOTE_BODY_BYTES_MAX);
    curl_easy_setopt(call->easy, CURLOPT_URL, call->url);
    curl_easy_setopt(call->easy, CURLOPT_PRIVATE, job);
    curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE, (long)call->body_bytes);
    curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, (const char *)call->body);
    if (curl_multi_add_handle(remote->multi, call->easy) != CURLM_OK) {
        return false;
    }
    call->busy = true;
    return true;
}

static void read_why(const struct remote_call *call, char *why_out)
{
    json_t *document =
        json_loadb((const char *)call->reply.data, call->reply.length_bytes, 0, NULL);
    const char *why = text_of(json_object_get(document, "error"), "why");

    snprintf(why_out, REMOTE_WHY_BYTES, "%s", why[0] != '\0' ? why : "the agent refused it");
    json_decref(document);
}

bool call_next(struct remote *remote, struct call_result *result_out)
{
    int left = 0;
    const CURLMsg *message;
    char *job = NULL;
    long status = 0;

    do {
        message = curl_multi_info_read(remote->multi, &left);
        if (message == NULL) {
            return false;
        }
    } while (message->msg != CURLMSG_DONE);
    CURLcode code = message->data.result;
    CURL *easy = message->easy_handle;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &job);
    curl_multi_remove_handle(remote->multi, easy);
    memset(result_out, 0, sizeof(*result_out));
    result_out->job = (struct remote_job *)(void *)job;
    result_out->call = result_out->job->reading.easy == easy ? &result_out->job->reading
                                                             : &result_out->job->writing;
    result_out->call->busy = false;
    if (code != CURLE_OK) {
        snprintf(result_out->why, sizeof(result_out->why), "the agent does not answer: %s",
                 curl_easy_strerror(code));
        return true;
    }
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    result_out->status = (unsigned)status;
    if (status != 200) {
        read_why(result_out->call, result_out->why);
    }
    return true;
}

void call_done(struct remote *remote, struct remote_call *call)
{
    if (call->busy) {
        curl_multi_remove_handle(remote->multi, call->easy);
        call->busy = false;
    }
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    call->easy = NULL;
    call->headers = NULL;
    buffer_done(&call->reply);
}
