// The smallest program: shows that plait is found, linked and loaded.
#include <cstdio>

#include "plait/library.h"

int main() { std::printf("plait %s\n", plait::version()); }
