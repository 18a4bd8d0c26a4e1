#define FR_ISA v4
#include "table.h"
