#include "service/methods.h"

#include "service/service_private.h"

const struct service_method *const service_methods[] = {
    &key_value_get,
    &key_value_set,
    &key_value_delete,
    &key_value_get_by_index,
    &key_value_scan,
    &key_value_batch,
    &key_value_compare_and_set,
    &key_value_create_snapshot,
    &key_value_release_snapshot,
    &admin_status,
    &admin_flush,
    &admin_compact,
    &admin_verify,
    &admin_create_space,
    &admin_list_spaces,
    &health_check,
    &health_watch,
    &reflection_v1,
    &reflection_v1_alpha,
};
const unsigned service_method_count = sizeof service_methods / sizeof service_methods[0];
