#include "query/predicate_text.h"
