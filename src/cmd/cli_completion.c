/* plinth completion bash|zsh: a script made from the table of commands, so that it is always complete itself. */
#include <string.h>

#include "cmd/cli.h"

/* The words that may follow `group` ("" or "kv"), each once. */
static void print_next_words(const char *group) {
    size_t group_size = strlen(group);
    const char *last = "";
    size_t last_size = 0;
    for (const struct cli_command *command = cli_commands; command->words; command++) {
        const char *word = command->words;
        if (group_size) {
            if (strncmp(word, group, group_size) != 0 || word[group_size] != ' ') continue;
            word += group_size + 1;
        }
        size_t size = strcspn(word, " ");
        if (size == last_size && memcmp(word, last, size) == 0) continue;
        printf("%.*s ", (int)size, word);
        last = word;
        last_size = size;
    }
    if (!group_size) printf("help ");
}

static void print_options(const struct option_spec *table) {
    for (const struct option_spec *spec = table; spec && spec->name; spec++) printf("--%s ", spec->name);
}

/* Options that take a value, so that the value is not taken for a word of the command. */
static void print_valued(const struct option_spec *table) {
    for (const struct option_spec *spec = table; spec && spec->name; spec++) {
        if (spec->argument) printf("|--%s", spec->name);
    }
}

/* Whether an earlier command begins with the same first `size` bytes of words: their case is printed already. */
static bool is_printed(const struct cli_command *command, size_t size) {
    for (const struct cli_command *earlier = cli_commands; earlier < command; earlier++)
        if (strncmp(earlier->words, command->words, size) == 0 && earlier->words[size] == ' ') return true;
    return false;
}

/* case lines: the words so far → what may come next. */
static void print_cases(void) {
    printf("    \"\") words=\"");
    print_next_words("");
    printf("\";;\n");
    for (const struct cli_command *command = cli_commands; command->words; command++) {
        for (size_t size = strcspn(command->words, " "); command->words[size];
             size += 1 + strcspn(command->words + size + 1, " ")) {
            char group[64];
            if (is_printed(command, size)) continue;
            snprintf(group, sizeof group, "%.*s", (int)size, command->words);
            printf("    \"%s\") words=\"", group);
            print_next_words(group);
            printf("\";;\n");
        }
        printf("    \"%s\") words=\"%s", command->words, strcmp(command->words, "completion") == 0 ? "bash zsh " : "");
        print_options(command->options);
        printf("\"; files=yes;;\n");
    }
}

static void print_function(const char *collect) {
    printf("    local current=\"$1\" path=\"\" word skip=\"\" words=\"\" files=\"\"\n"
           "    shift\n"
           "    for word in \"$@\"; do\n"
           "        if [ -n \"$skip\" ]; then skip=\"\"; continue; fi\n"
           "        case \"$word\" in\n"
           "        ''");
    print_valued(cli_global_options);
    for (const struct cli_command *command = cli_commands; command->words; command++) print_valued(command->options);
    printf(") skip=yes;;\n"
           "        -*) ;;\n"
           "        *) case \" ");
    for (const struct cli_command *command = cli_commands; command->words; command++) printf("%s ", command->words);
    printf("\" in *\" $word \"*) path=\"${path:+$path }$word\";; esac;;\n"
           "        esac\n"
           "    done\n"
           "    case \"$path\" in\n");
    print_cases();
    printf("    esac\n"
           "    case \"$skip\" in yes) words=\"\"; files=yes;; *) words=\"$words");
    print_options(cli_global_options);
    printf("\";; esac\n%s", collect);
}

int cli_completion(struct cli *cli) {
    const char *shell = cli->options.operands[0];
    if (strcmp(shell, "bash") == 0) {
        printf("# plinth completion for bash: source <(plinth completion bash)\n_plinth() {\n");
        print_function("    COMPREPLY=($(compgen -W \"$words\" -- \"$current\" || :))\n"
                       "    if [ -n \"$files\" ] && [ \"${current#-}\" = \"$current\" ]; then\n"
                       "        COMPREPLY+=($(compgen -f -- \"$current\" || :))\n"
                       "    fi\n");
        printf("}\n_plinth_complete() { _plinth \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; }\n"
               "complete -F _plinth_complete plinth\n");
        return CLI_OK;
    }
    if (strcmp(shell, "zsh") == 0) {
        printf("#compdef plinth\n# plinth completion for zsh: put it as _plinth into a folder of $fpath, or\n"
               "# source <(plinth completion zsh)\n_plinth() {\n");
        print_function("    compadd -- ${=words}\n"
                       "    if [ -n \"$files\" ] && [ \"${current#-}\" = \"$current\" ]; then _files; fi\n");
        printf("}\n_plinth_complete() { _plinth \"$words[CURRENT]\" \"${(@)words[2,CURRENT-1]}\"; }\n"
               "compdef _plinth_complete plinth\n");
        return CLI_OK;
    }
    return cli_fail(CLI_USAGE, "no completion for '%s'; there is one for bash and one for zsh", shell);
}
