// One thread beside the ring manager for what may take long: committing and returning memory,
// mapping files, building tables. It sleeps when there is nothing to do. Work runs in the order it
// was given; its result comes back on the ring manager's loop. run() only from the ring manager.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <utility>

namespace ringwire::node {

class Background {
 public:
  explicit Background(boost::asio::io_context& manager) : manager_(manager), pool_(1) {}
  ~Background() { join(); }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  /// Call `work()` on the background thread, then `then(result)` on the ring manager's loop. What
  /// both refer to must live until then, or until join().
  template <typename Work, typename Then>
  void run(Work work, Then then) {
    boost::asio::post(pool_, [this, work = std::move(work), then = std::move(then)]() mutable {
      boost::asio::post(manager_, [result = work(), then = std::move(then)]() mutable {
        then(std::move(result));
      });
    });
  }

  /// Finish what was given and end the thread. Nothing may be given afterwards.
  void join() { pool_.join(); }

 private:
  boost::asio::io_context& manager_;
  boost::asio::thread_pool pool_;
};

}  // namespace ringwire::node
