// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * UPnP's Internet Gateway Device through libminiupnpc. Its own way to find a router fetches
 * descriptions from wherever an answer points; so we go step by step, and only where the router on
 * our default route is (place.h).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/miniwget.h>
#include <miniupnpc/upnpcommands.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/portmap/job.h"
#include "agent/portmap/place.h"
#include "base/cleanup.h"

enum {
    SEARCH_MS = 2000,
    LOOK_MS = 800,
    SEARCH_TTL = 2,
    DEVICES_MAX = 16,
    DESCRIPTION_BYTES_MAX = 256 * 1024,
    HTTP_OK = 200,
    TEXT_BYTES = 40, /* what the library writes addresses to */

    ERROR_CONFLICT = 718, /* somebody else has that port */
    ERROR_PERMANENT_ONLY = 725,
    OTHER_PORTS = 4, /* that are tried then */
    OTHER_FIRST = 40000,
    OTHER_COUNT = 20000,
    OTHER_STEP = 4999,
};

struct router { /* its service that maps ports */
    char place[PORTMAP_PLACE_CHARS_MAX + 1];
    char control[2 * MINIUPNPC_URL_MAXSIZE + PORTMAP_PLACE_CHARS_MAX];
    char service[MINIUPNPC_URL_MAXSIZE];
};

/* ------------------------------------------------------------------ finding it */

static bool is_connection_service(const char *type)
{
    static const char *const types[] = {"urn:schemas-upnp-org:service:WANIPConnection:",
                                        "urn:schemas-upnp-org:service:WANPPPConnection:"};

    for (size_t i = 0; i < 2; i++) {
        size_t length = strlen(types[i]);

        /* One digit more, and nothing that would end the header which it comes to stand in. */
        if (strncmp(type, types[i], length) == 0 && type[length] >= '1' && type[length] <= '9' &&
            type[length + 1] == '\0') {
            return true;
        }
    }
    return false;
}

static bool take_service(const struct job *job, const struct IGDdatas_service *service,
                         struct IGDdatas *data, struct router *router)
{
    struct UPNPUrls urls = {0};
    bool is_fine;

    if (!is_connection_service(service->servicetype)) {
        return false;
    }
    memmove(&data->first, service, sizeof(data->first));
    GetUPNPUrls(&urls, data, router->place, 0);
    is_fine = urls.controlURL != NULL && place_is_at(urls.controlURL, job->gateway_text) &&
              text_copy(router->control, sizeof(router->control), urls.controlURL) == 0 &&
              text_copy(router->service, sizeof(router->service), data->first.servicetype) == 0;
    FreeUPNPUrls(&urls);
    return is_fine;
}

/* Fetches and reads the description that `url` names. */
static bool describe(const struct job *job, const char *url, struct router *router)
{
    struct IGDdatas data = {0};
    int length_bytes = 0;
    int status = 0;
    CLEANUP(cleanup_free) char *text = NULL;

    if (!place_is_at(url, job->gateway_text) ||
        text_copy(router->place, sizeof(router->place), url) < 0) {
        return false;
    }
    text = miniwget(url, &length_bytes, 0, &status);
    if (text == NULL || status != HTTP_OK || length_bytes <= 0 ||
        length_bytes > DESCRIPTION_BYTES_MAX) {
        return false;
    }
    parserootdesc(text, length_bytes, &data);
    return take_service(job, &data.first, &data, router) ||
           take_service(job, &data.second, &data, router);
}

/* A person who waits for `minga check` gets the answer of a router that is not slow. */
static struct UPNPDev *search(const struct job *job)
{
    int error = 0;

    if (job->kind == JOB_LOOK) {
        return upnpDiscoverDevice("urn:schemas-upnp-org:device:InternetGatewayDevice:1", LOOK_MS,
                                  job->own_text, "", UPNP_LOCAL_PORT_ANY, 0, SEARCH_TTL, &error);
    }
    return upnpDiscover(SEARCH_MS, job->own_text, "", UPNP_LOCAL_PORT_ANY, 0, SEARCH_TTL, &error);
}

static int find(const struct job *job, struct router *router, struct portmap_answer *answer)
{
    struct UPNPDev *devices;
    bool is_found = job->place[0] != '\0' && describe(job, job->place, router);
    bool is_elsewhere = false;
    int i = 0;

    if (is_found) {
        return 0;
    }
    devices = search(job);
    for (const struct UPNPDev *device = devices; device != NULL && i < DEVICES_MAX && !is_found;
         device = device->pNext, i++) {
        is_elsewhere = is_elsewhere || !place_is_at(device->descURL, job->gateway_text);
        is_found = describe(job, device->descURL, router);
    }
    freeUPNPDevlist(devices);
    if (!is_found && is_elsewhere) {
        (void)snprintf(answer->why, sizeof(answer->why),
                       "UPnP: what answers is not the router %s, and is not asked",
                       job->gateway_text);
    }
    return is_found ? 0 : -ETIMEDOUT;
}

/* ------------------------------------------------------------------ asking it */

static int add(const struct job *job, const struct router *router, const struct portmap_port *port,
               uint32_t lease_s)
{
    char outside[8];
    char inside[8];
    char lease[12];

    (void)snprintf(outside, sizeof(outside), "%u", port->outside);
    (void)snprintf(inside, sizeof(inside), "%u", port->inside);
    (void)snprintf(lease, sizeof(lease), "%u", lease_s);
    return UPNP_AddPortMapping(router->control, router->service, outside, inside, job->own_text,
                               "minga", port->is_udp ? "UDP" : "TCP", NULL, lease);
}

/* Returns the outside port that was given, or 0. */
static uint16_t map(const struct job *job, const struct router *router, struct portmap_port port,
                    struct portmap_answer *answer)
{
    int r = UPNPCOMMAND_UNKNOWN_ERROR;

    for (uint32_t i = 0; i <= OTHER_PORTS; i++) {
        r = add(job, router, &port, answer->lease_s);
        if (r == ERROR_PERMANENT_ONLY && answer->lease_s > 0) {
            answer->lease_s = 0;
            r = add(job, router, &port, 0);
        }
        if (r == UPNPCOMMAND_SUCCESS) {
            return port.outside;
        }
        if (r != ERROR_CONFLICT) {
            break;
        }
        port.outside = (uint16_t)(OTHER_FIRST + (port.inside + i * OTHER_STEP) % OTHER_COUNT);
    }
    (void)snprintf(answer->why, sizeof(answer->why), "UPnP: the router refuses (error %d)", r);
    return 0;
}

static bool unmap(const struct router *router, const struct portmap_port *port)
{
    char outside[8];

    (void)snprintf(outside, sizeof(outside), "%u", port->outside);
    return UPNP_DeletePortMapping(router->control, router->service, outside,
                                  port->is_udp ? "UDP" : "TCP", NULL) == UPNPCOMMAND_SUCCESS;
}

static void ask_host(const struct router *router, struct portmap_answer *answer)
{
    char host[TEXT_BYTES] = "";
    struct in_addr address;

    if (UPNP_GetExternalIPAddress(router->control, router->service, host) == UPNPCOMMAND_SUCCESS &&
        inet_pton(AF_INET, host, &address) == 1 && address.s_addr != 0) {
        (void)inet_ntop(AF_INET, &address, answer->host, sizeof(answer->host));
    }
}

int by_upnp(const struct job *job, struct portmap_answer *answer)
{
    struct router router = {.place = ""};
    uint32_t done_count = 0;
    int r = find(job, &router, answer);

    if (r < 0) {
        return r;
    }
    memcpy(answer->place, router.place, sizeof(answer->place));
    if (job->kind != JOB_UNMAP) {
        ask_host(&router, answer);
    }
    if (job->kind == JOB_LOOK) {
        return 0;
    }
    answer->lease_s = job->lease_s;
    for (uint32_t i = 0; i < job->port_count; i++) {
        struct portmap_port *port = &answer->ports[i];

        if (job->kind == JOB_UNMAP) {
            done_count += unmap(&router, &job->ports[i]);
            port->outside = 0;
        } else {
            port->outside = map(job, &router, job->ports[i], answer);
            done_count += port->outside != 0;
        }
    }
    return done_count > 0 ? 0 : -EACCES;
}
