# Java: threads of all kinds, monitors, signals that are no errors, a collector, sockets, children.
PATH=$PATH:/usr/lib/jvm/default-java/bin
cat > Threads.java <<'END'
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

public class Threads {
    static final Object lock = new Object();
    static int shared;

    public static void main(String[] arguments) throws Exception {
        List<Thread> threads = new ArrayList<>();
        for (int number = 0; number < 4; number++) {
            Thread thread = new Thread(() -> {
                for (int count = 0; count < 1000; count++) {
                    synchronized (lock) {
                        shared++;
                    }
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads)
            thread.join();
        System.out.println("synchronized " + shared);

        var pool = Executors.newFixedThreadPool(3);
        List<Future<Integer>> futures = new ArrayList<>();
        for (int number = 0; number < 10; number++) {
            int base = number;
            futures.add(pool.submit(() -> base * base));
        }
        int sum = 0;
        for (Future<Integer> future : futures)
            sum += future.get();
        pool.shutdown();
        System.out.println("pool " + sum + " " + pool.awaitTermination(5, TimeUnit.SECONDS));
        System.out.println("fork and join " + IntStream.range(0, 10000).parallel().sum());
        AtomicInteger woken = new AtomicInteger();
        try (var each = Executors.newVirtualThreadPerTaskExecutor()) {
            for (int number = 0; number < 200; number++) {
                each.submit(() -> {
                    Thread.sleep(10);
                    return woken.incrementAndGet();
                });
            }
        }
        System.out.println("virtual " + woken);

        var queue = new ArrayBlockingQueue<Integer>(2);
        new Thread(() -> {
            try {
                for (int number = 0; number < 20; number++)
                    queue.put(number);
            } catch (InterruptedException error) {
                System.out.println(error);
            }
        }).start();
        int taken = 0;
        for (int number = 0; number < 20; number++)
            taken += queue.take();
        System.out.println("queue " + taken);
        Thread sleeper = new Thread(() -> {
            try {
                Thread.sleep(100000);
            } catch (InterruptedException error) {
                System.out.println("interrupted");
            }
        });
        sleeper.start();
        sleeper.interrupt();
        sleeper.join();

        try (ServerSocket listener = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
            Thread server = new Thread(() -> {
                try (Socket socket = listener.accept()) {
                    socket.getInputStream().transferTo(socket.getOutputStream());
                } catch (IOException error) {
                    System.out.println(error);
                }
            });
            server.start();
            try (Socket client = new Socket(listener.getInetAddress(), listener.getLocalPort())) {
                client.getOutputStream().write("echo".getBytes());
                client.shutdownOutput();
                System.out.println(new String(client.getInputStream().readAllBytes()));
            }
            server.join();
        }
        Process cat = new ProcessBuilder("sh", "-c", "cat; exit 5").start();
        cat.getOutputStream().write("through cat".getBytes());
        cat.getOutputStream().close();
        System.out.println(new String(cat.getInputStream().readAllBytes()) + " " + cat.waitFor());

        try {
            arguments = null;
            System.out.println(arguments.length);
        } catch (NullPointerException error) {
            System.out.println("null");
        }
        try {
            System.out.println(descend(0));
        } catch (StackOverflowError error) {
            System.out.println("overflow");
        }
        long kept = 0;
        for (int number = 0; number < 100; number++)
            kept += new byte[1 << 20].length;
        System.gc();
        System.out.println(kept);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
        System.exit(4);
    }

    static int descend(int depth) {
        return descend(depth + 1) + 1;
    }
}
END
java Threads.java; echo "status $?"
