// The passes, one line each: declares and registers. LORAC_PASS is defined by whoever includes this.
LORAC_PASS(apply)
LORAC_PASS(combine)
LORAC_PASS(inject)
LORAC_PASS(merge)
LORAC_PASS(replace_head)
LORAC_PASS(set_input_size)
LORAC_PASS(small_image_stem)
