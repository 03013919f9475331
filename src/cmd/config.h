/* How plinthd is set up: one table of options, each with its flag, environment variable, default and help. */
#ifndef PLINTH_CMD_CONFIG_H
#define PLINTH_CMD_CONFIG_H

#include <stdbool.h>

#include "base/log_event.h"
#include "cmd/options.h"
#include "service/service.h"

enum config_action { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION, CONFIG_PRINT };

struct config {
    struct options options;
    enum config_action action;
    struct service_options service;
    const char *ports_file; /* null: none */
    enum log_level log_level;
    bool log_json;
};

/* From the command line, then the environment, then the defaults. PLINTH_INVALID_ARGUMENT for anything that does not
 * make sense, naming the option. Strings are borrowed from argv and the environment. */
PLINTH_MUST_CHECK enum plinth_status config_parse(struct config *config, int argc, char **argv,
                                                  struct plinth_error *error);
void config_print_help(FILE *out);
/* Every option with the value it has, as `name = value` lines with their origin. */
void config_print(FILE *out, const struct config *config);

#endif
