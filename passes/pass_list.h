// The passes, one line each: declares and registers. LORAC_PASS is defined by whoever includes this.
LORAC_PASS(inject)
LORAC_PASS(merge)
