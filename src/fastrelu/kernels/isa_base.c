#define FR_ISA base
#include "table.h"
