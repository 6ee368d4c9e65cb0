// CRC-32C (Castagnoli; RFC 3720, appendix B.4): tells a damaged block from a sound one at the speed of reading it.
// It protects from accidents, not from people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace stella {

/// Of `bytes`, which follow others whose checksum is `before`. By the processor's instruction where it has one.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0);

/// Of two blocks end to end, by their checksums and the second one's size: blocks can be read on several threads.
std::uint32_t crc32c_combine(std::uint32_t first, std::uint32_t second, std::uint64_t second_bytes);

namespace crc32c_sets {
/// What crc32c() chooses from: equal results. The second is null where this build has none, and must be called only
/// where the processor has SSE 4.2.
std::uint32_t portable(std::span<const std::byte> bytes, std::uint32_t before);
using Function = std::uint32_t (*)(std::span<const std::byte>, std::uint32_t);
Function sse42() noexcept;
}  // namespace crc32c_sets

}  // namespace stella
