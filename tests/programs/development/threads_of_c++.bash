cat > threads.cpp <<'CPP'
#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <future>
#include <latch>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

struct Unwound {
	std::atomic<int> &count;
	~Unwound() { count++; }
};

static std::atomic<int> destroyed{0};
struct PerThread {
	int uses = 0;
	~PerThread() { destroyed++; }
};
static thread_local PerThread per_thread;

template <class T> class Channel {
	std::mutex mutex;
	std::condition_variable changed;
	std::deque<T> items;
	bool closed = false;

  public:
	void put(T item) {
		std::unique_lock lock(mutex);
		changed.wait(lock, [&] { return items.size() < 4; });
		items.push_back(item);
		changed.notify_all();
	}
	void close() {
		std::lock_guard lock(mutex);
		closed = true;
		changed.notify_all();
	}
	bool get(T &item) {
		std::unique_lock lock(mutex);
		changed.wait(lock, [&] { return closed || !items.empty(); });
		if (items.empty())
			return false;
		item = items.front();
		items.pop_front();
		changed.notify_all();
		return true;
	}
};

static int throw_from(int depth, std::atomic<int> &unwound) {
	Unwound guard{unwound};
	if (depth == 0)
		throw std::runtime_error("from the depths");
	return throw_from(depth - 1, unwound) + 1;
}

int main() {
	{
		Channel<int> channel;
		std::vector<std::thread> producers, consumers;
		std::atomic<long> sum{0};
		for (int p = 0; p < 3; p++)
			producers.emplace_back([&, p] { for (int i = 0; i < 200; i++) channel.put(p * 1000 + i); });
		for (int c = 0; c < 2; c++)
			consumers.emplace_back([&] { int item; while (channel.get(item)) sum += item; });
		for (auto &thread : producers) thread.join();
		channel.close();
		for (auto &thread : consumers) thread.join();
		std::printf("channel: %ld\n", sum.load());
	}
	{
		std::atomic<int> unwound{0};
		std::vector<std::future<int>> futures;
		for (int i = 0; i < 8; i++)
			futures.push_back(std::async(std::launch::async, [i, &unwound] { return i % 2 ? throw_from(i, unwound) : i * i; }));
		for (auto &future : futures) {
			try {
				int value = future.get();
				std::printf("async: %d\n", value);
			} catch (const std::runtime_error &error) {
				std::printf("async: threw %s\n", error.what());
			}
		}
		std::printf("unwound: %d\n", unwound.load());
		std::promise<int> broken;
		auto future = broken.get_future();
		{ auto promise = std::move(broken); }
		try { future.get(); } catch (const std::future_error &error) { std::printf("%s\n", error.code().message().c_str()); }
	}
	{
		std::vector<std::thread> threads;
		for (int i = 0; i < 5; i++) threads.emplace_back([] { per_thread.uses++; });
		for (auto &thread : threads) thread.join();
		std::printf("destroyed: %d\n", destroyed.load());
	}
	{
		std::barrier barrier(4);
		std::vector<int> phases(4);
		std::atomic<bool> agree{true};
		std::vector<std::jthread> threads;
		for (int i = 0; i < 4; i++)
			threads.emplace_back([&, i] {
				for (int phase = 1; phase <= 20; phase++) {
					phases[i] = phase;
					barrier.arrive_and_wait();
					for (int other : phases) if (other != phase) agree = false;
					barrier.arrive_and_wait();
				}
			});
		threads.clear();
		std::printf("barrier: %d\n", agree.load());
	}
	{
		std::shared_mutex mutex;
		std::vector<int> table(200);
		std::vector<std::jthread> threads;
		std::atomic<int> found{0};
		std::latch ready(6);
		for (int i = 0; i < 6; i++)
			threads.emplace_back([&, i] {
				ready.arrive_and_wait();
				for (int k = 0; k < 50; k++) {
					if (i < 2) { std::unique_lock lock(mutex); table[i * 100 + k]++; }
					else { std::shared_lock lock(mutex); found += table[k] > 1; }
				}
			});
		threads.clear();
		std::printf("shared_mutex: %d %d %d\n", table[0], table[149], found.load());
	}
	{
		std::counting_semaphore<3> semaphore(3);
		std::atomic<int> inside{0}, most{0};
		std::vector<std::jthread> threads;
		for (int i = 0; i < 9; i++)
			threads.emplace_back([&] {
				semaphore.acquire();
				int now = ++inside;
				for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {}
				std::this_thread::sleep_for(1ms);
				inside--;
				semaphore.release();
			});
		threads.clear();
		std::printf("semaphore: %d\n", most <= 3);
	}
	{
		std::timed_mutex mutex;
		mutex.lock();
		std::thread([&] { std::printf("timed_mutex: %d\n", mutex.try_lock_for(20ms)); }).join();
		std::condition_variable_any condition;
		std::mutex other;
		std::jthread waiter([&](std::stop_token stop) {
			std::unique_lock lock(other);
			bool satisfied = condition.wait(lock, stop, [] { return false; });
			std::printf("stopped: %d%d\n", stop.stop_requested(), satisfied);
		});
		std::this_thread::sleep_for(5ms);
		waiter.request_stop();
	}
	{
		std::atomic<int> word{0};
		std::thread waiter([&] { word.wait(0); std::printf("atomic wait: %d\n", word.load()); });
		std::this_thread::sleep_for(5ms);
		word = 7;
		word.notify_one();
		waiter.join();
	}
	std::set_terminate([] { std::puts("terminate"); std::fflush(stdout); std::_Exit(3); });
	std::thread([] { throw 1; }).join();
}
CPP
g++ -std=c++20 -pthread -o threads threads.cpp
echo "compiled: $?"
./threads
echo "status: $?"
