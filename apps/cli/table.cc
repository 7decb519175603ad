#include "apps/cli/table.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace ringwire::cli {

Table::Cell::Cell(std::string cell_text, Tint cell_tint)
    : text(printable(cell_text)), tint(cell_tint) {}

void Table::add(std::vector<Cell> row) {
  RW_CHECK(row.size() == columns_.size());
  rows_.push_back(std::move(row));
}

std::string Table::render(Colour colour) const {
  std::vector<std::size_t> widths;
  std::vector<Cell> headings;
  for (const Column& column : columns_) {
    widths.push_back(column.heading.size());
    headings.emplace_back(column.heading, Tint::kHeading);
  }
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].text.size());
  }
  std::string out;
  append_row(out, headings, widths, colour);
  for (const auto& row : rows_) append_row(out, row, widths, colour);
  return out;
}

void Table::append_row(std::string& out, const std::vector<Cell>& row,
                       const std::vector<std::size_t>& widths, Colour colour) const {
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::string padding(widths[i] - row[i].text.size(), ' ');
    const bool last = i + 1 == row.size();
    if (columns_[i].align == Align::kRight) out += padding;
    out += tinted(row[i].text, row[i].tint, colour);
    if (columns_[i].align == Align::kLeft && !last) out += padding;
    if (!last) out += "  ";
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  out += '\n';
}

}  // namespace ringwire::cli
