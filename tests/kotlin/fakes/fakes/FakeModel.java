package fakes;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Function;

/** What both fake runtimes answer with: output name -> numbers, their shape being (1, ...). */
public final class FakeModel {
    public static Function<byte[], Map<String, Output>> answer;
    public static byte[] loaded;
    public static int threads;
    public static int open;
    public static boolean refusesToLoad;
    public static boolean failsToRun;

    public static void reset() {
        answer = input -> new LinkedHashMap<>();
        loaded = null;
        threads = 0;
        open = 0;
        refusesToLoad = false;
        failsToRun = false;
    }

    public static final class Output {
        public final float[] values;
        public final long[] shape;

        public Output(float[] values, long... shape) {
            this.values = values;
            this.shape = shape;
        }
    }
}
