/* Options by which commands read the past: --as-of POSITION or TIME, --snapshot NAME. */
#ifndef PLINTH_CMD_CLI_HISTORY_H
#define PLINTH_CMD_CLI_HISTORY_H

#include "cmd/cli.h"

struct cli_past {
    Plinth__V1__ReadOptions read;
    Plinth__V1__ReadOptions *given; /* `read`, or null when no option is given: what a request takes */
    Plinth__V1__Position position;
    struct buffer token;
};

/* False when said to be wrong already. Stays where it is until cli_past_deinit, also after a failure. */
bool cli_past_init(struct cli_past *past, const struct cli *cli);
void cli_past_deinit(struct cli_past *past);

#endif
