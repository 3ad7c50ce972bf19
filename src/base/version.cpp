#include "plait/library.h"

namespace plait {

const char* version() { return PLAIT_VERSION; }

}  // namespace plait
