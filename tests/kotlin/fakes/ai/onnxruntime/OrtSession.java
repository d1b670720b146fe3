package ai.onnxruntime;

import fakes.FakeModel;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

public class OrtSession implements AutoCloseable {
    public static class SessionOptions implements AutoCloseable {
        public enum OptLevel { NO_OPT, BASIC_OPT, EXTENDED_OPT, ALL_OPT }

        int threads;

        public void setIntraOpNumThreads(int numThreads) throws OrtException { threads = numThreads; }

        public void setOptimizationLevel(OptLevel level) throws OrtException { }

        @Override
        public void close() { }
    }

    public static class Result implements AutoCloseable {
        private final Map<String, OnnxValue> values = new LinkedHashMap<>();

        public Optional<OnnxValue> get(String key) { return Optional.ofNullable(values.get(key)); }

        public OnnxValue get(int index) { return new ArrayList<>(values.values()).get(index); }

        @Override
        public void close() { }
    }

    public Result run(Map<String, ? extends OnnxTensorLike> inputs, Set<String> requestedOutputs)
            throws OrtException {
        Result result = run(inputs);
        result.values.keySet().retainAll(requestedOutputs);
        return result;
    }

    public Result run(Map<String, ? extends OnnxTensorLike> inputs) throws OrtException {
        if (FakeModel.failsToRun) throw new OrtException("non-zero status code");
        OnnxTensor input = (OnnxTensor) inputs.get("image");
        Result result = new Result();
        FakeModel.answer.apply(input.bytes).forEach((name, output) ->
            result.values.put(name, new OnnxTensor(null, output.values, output.shape)));
        return result;
    }

    @Override
    public void close() throws OrtException { FakeModel.open--; }
}
