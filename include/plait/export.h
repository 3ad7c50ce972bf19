#pragma once

/// Marks what libplait exports; everything else is hidden.
#define PLAIT_API __attribute__((visibility("default")))
