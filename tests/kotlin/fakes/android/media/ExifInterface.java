package android.media;

import java.io.IOException;
import java.io.InputStream;

/** Tells the orientation that a test has set, or fails to read any. */
public class ExifInterface {
    public static final String TAG_ORIENTATION = "Orientation";
    public static final int ORIENTATION_NORMAL = 1;

    /** 0: the tag is missing; below: the file cannot be read. */
    public static int fakeOrientation = 0;

    public ExifInterface(InputStream inputStream) throws IOException {
        if (fakeOrientation < 0) throw new IOException("no EXIF here");
    }

    public int getAttributeInt(String tag, int defaultValue) {
        return tag.equals(TAG_ORIENTATION) && fakeOrientation > 0 ? fakeOrientation : defaultValue;
    }
}
