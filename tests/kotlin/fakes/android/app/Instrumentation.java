package android.app;

import android.content.Context;

public class Instrumentation {
    public static Context fakeContext;
    public static Context fakeTargetContext;

    public Context getContext() { return fakeContext; }

    public Context getTargetContext() { return fakeTargetContext; }
}
