/* The host's headers, for the files of the simulated machine (-DVOLLEY_HOST -DVOLLEY_SIM). */
#pragma once

#include <elf.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
