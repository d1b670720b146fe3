package ai.onnxruntime;

import fakes.FakeModel;

public class OrtEnvironment implements AutoCloseable {
    public static OrtEnvironment getEnvironment() { return new OrtEnvironment(); }

    public OrtSession createSession(byte[] modelArray, OrtSession.SessionOptions options) throws OrtException {
        if (FakeModel.refusesToLoad) throw new OrtException("unsupported model IR version");
        FakeModel.loaded = modelArray;
        FakeModel.threads = options.threads;
        FakeModel.open++;
        return new OrtSession();
    }

    @Override
    public void close() { }
}
