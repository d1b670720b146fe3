package org.pytorch;

import fakes.FakeModel;

public final class LitePyTorchAndroid {
    public static void setNumThreads(int numThreads) { FakeModel.threads = numThreads; }
}
