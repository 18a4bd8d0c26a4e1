#define FR_ISA v3
#include "table.h"
