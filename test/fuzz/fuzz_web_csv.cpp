// Any octets as a file of leads that somebody sends to mailer-web: every cell is UTF-8, nothing is read twice, lines
// have rising numbers, and no more come than were asked for.
#include <unistr.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "pages/csv.hpp"

using namespace mailer::web;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text = as_utf8({reinterpret_cast<const char*>(data), size});
    require(!u8_check(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
    require(text.size() <= size * 3);
    for (const std::size_t most : {std::size_t{1}, std::size_t{100000}}) {
        const std::vector<CsvLine> lines = read_csv(text, most);
        require(lines.size() <= most);
        std::size_t octets = 0, last = 0;
        for (const CsvLine& line : lines) {
            require(line.number > last);
            last = line.number;
            require(!line.cells.empty());
            for (const std::string& cell : line.cells) {
                require(!u8_check(reinterpret_cast<const std::uint8_t*>(cell.data()), cell.size()));
                octets += cell.size();
            }
        }
        require(octets <= text.size());
    }
    return 0;
}
