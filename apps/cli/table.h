// Rows in aligned columns for a person. Widths are counted before colour is added; cells are made
// printable here, so that no caller can forget it. Main thread; cold.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "apps/cli/terminal.h"

namespace ringwire::cli {

class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string heading;
    Align align = Align::kLeft;
  };
  struct Cell {
    // Implicit on purpose: most cells are a bare text.
    Cell(std::string cell_text, Tint cell_tint = Tint::kNone);
    std::string text;
    Tint tint;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// Add a row with one cell per column.
  void add(std::vector<Cell> row);

  [[nodiscard]] bool empty() const { return rows_.empty(); }

  /// All rows under the headings, two blanks between columns, no blanks at line ends.
  [[nodiscard]] std::string render(Colour colour) const;

 private:
  void append_row(std::string& out, const std::vector<Cell>& row,
                  const std::vector<std::size_t>& widths, Colour colour) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace ringwire::cli
