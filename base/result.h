// The outcome of an operation whose failure the caller must judge: a value or an error enumerator.
// std::expected is not offered by g++ 12 in C++20 mode. Any thread; no allocation of its own.
#pragma once

#include <utility>
#include <variant>

#include "base/check.h"

namespace ringwire {

/// Wraps an error so that a Result can be built from it where value and error types are alike.
template <typename E>
struct Failure {
  E error;
};

template <typename E>
Failure(E) -> Failure<E>;

template <typename T, typename E>
class [[nodiscard]] Result {
 public:
  // Implicit on purpose: `return value;` and `return Failure{kReason};` are the two ways out.
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Failure<E> failure) : state_(std::in_place_index<1>, std::move(failure.error)) {}

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  /// The value. Only when ok().
  [[nodiscard]] T& value() & {
    RW_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] const T& value() const& {
    RW_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] T&& value() && {
    RW_CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }

  /// The error. Only when not ok().
  [[nodiscard]] const E& error() const {
    RW_CHECK(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, E> state_;
};

/// Stands for "nothing to return" in a Result.
struct Done {};

}  // namespace ringwire
