// The standard streams of a program that was started without some of them.
#pragma once

namespace stella::cli {

/// Opens something that can neither be read nor written onto each of the descriptors 0 to 2 that is closed, so that no
/// file, and no descriptor of an event loop, comes to lie there. Before anything else is opened.
void fill_standard_streams();

/// Whether the program was started without this one of the descriptors 0 to 2.
bool is_missing(int descriptor);

}  // namespace stella::cli
