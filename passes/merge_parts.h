// Private to merge*.c.
#ifndef LORAC_MERGE_PARTS_H
#define LORAC_MERGE_PARTS_H

#include "merge.h"

// Puts back what inject copied (lorac.copies) where training left the copy as it was: the node reads the value again
// that it read before, and the copy goes. Other copies stay, and what only they were copied from goes. Errors: MEMORY.
enum lorac_status lorac_merge_copies(struct lorac_model *model, const struct lorac_meta *meta,
                                     struct lorac_error *error);

#endif
