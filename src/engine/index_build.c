/* Building an index of a table that has rows. The table's gate is closed, its rows are all in segments. */
#include "base/status.h"
#include "engine/table_ddl.h"

enum plinth_status engine_build_index(struct plinth *db, const struct table_schema *schema,
                                      const struct table_index *index, struct plinth_error *error) {
    struct view *view = view_current(&db->views);
    const struct view_table *table = view_find_table(view, schema->id);
    bool has_rows = table && table->run_count;
    view_unref(view);
    if (!has_rows) return PLINTH_OK;
    return error_set(error, PLINTH_UNSUPPORTED, "index \"%s\": the table has rows", index->name);
}
