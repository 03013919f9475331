/* What the HTTP server shows. */
#include <stdlib.h>

#include "service/numbers.h"
#include "service/service_private.h"
#include "service/text.h"

static bool ready_page(struct service *service, struct buffer *body, unsigned *code) {
    char reason[PLINTH_ERROR_TEXT_MAX];
    bool ready = service_is_ready(service, reason, sizeof reason);
    *code = ready ? 200 : 503;
    return text_append(body, "{\"ready\":%s,\"reasons\":[", ready ? "true" : "false") &&
           (!reason[0] || text_append_json(body, reason)) && text_append(body, "]}\n");
}

static bool metrics_page(struct service *service, struct buffer *body) {
    struct numbers numbers;
    numbers_read(service, &numbers);
    bool ok = true;
    for (size_t i = 0; ok && i < number_count; i++) {
        const struct number *number = &number_table[i];
        ok = text_append(body, "# HELP plinth_%s %s\n# TYPE plinth_%s %s\nplinth_%s %llu\n", number->name, number->help,
                         number->name, number->is_counter ? "counter" : "gauge", number->name,
                         (unsigned long long)number_value(&numbers, number));
    }
    const char **paths = calloc(service_method_count, sizeof *paths);
    ok = ok && paths;
    for (unsigned i = 0; ok && i < service_method_count; i++) paths[i] = service_methods[i]->path;
    ok = ok && metrics_write(&service->metrics, paths, body) &&
         text_append(body,
                     "# HELP plinth_build_info The version that runs.\n# TYPE plinth_build_info gauge\n"
                     "plinth_build_info{version=\"%s\"} 1\n",
                     plinth_version());
    free(paths);
    return ok;
}

unsigned service_page(void *context, const char *path, struct buffer *body, const char **content_type) {
    struct service *service = context;
    unsigned code = 200;
    bool ok;
    if (strcmp(path, "/healthz") == 0) {
        ok = text_append(body, "ok\n");
    } else if (strcmp(path, "/readyz") == 0) {
        *content_type = "application/json";
        ok = ready_page(service, body, &code);
    } else if (strcmp(path, "/metrics") == 0) {
        if (atomic_load(&service->state) == SERVICE_STARTING) {
            code = 503;
            ok = text_append(body, "starting\n");
        } else {
            *content_type = "text/plain; version=0.0.4; charset=utf-8";
            ok = metrics_page(service, body);
        }
    } else if (strcmp(path, "/") == 0) {
        ok = text_append(body, "plinthd %s\n/healthz\n/readyz\n/metrics\n", plinth_version());
    } else {
        code = 404;
        ok = text_append(body, "no such page; there are /healthz, /readyz and /metrics\n");
    }
    if (ok) return code;
    body->size = 0;
    return 500;
}
