package android.graphics;

/** Pixels in an array. Refuses what Android refuses: a rectangle outside, a hardware bitmap. */
public final class Bitmap {
    public enum Config { ALPHA_8, RGB_565, ARGB_4444, ARGB_8888, RGBA_F16, HARDWARE, RGBA_1010102 }

    private final int[] colors;
    private final int width;
    private final int height;
    private final Config config;
    private boolean recycled;

    private Bitmap(int[] colors, int width, int height, Config config) {
        this.colors = colors.clone();
        this.width = width;
        this.height = height;
        this.config = config;
    }

    public static Bitmap createBitmap(int[] colors, int width, int height, Config config) {
        return new Bitmap(colors, width, height, config);
    }

    public int getWidth() { return width; }

    public int getHeight() { return height; }

    public Config getConfig() { return config; }

    public boolean isRecycled() { return recycled; }

    public void recycle() { recycled = true; }

    public Bitmap copy(Config config, boolean isMutable) { return new Bitmap(colors, width, height, config); }

    public void getPixels(int[] pixels, int offset, int stride, int x, int y, int width, int height) {
        if (recycled || config == Config.HARDWARE) throw new IllegalStateException("no pixels to read");
        if (x < 0 || y < 0 || x + width > this.width || y + height > this.height || stride < width
                || offset + (height - 1) * stride + width > pixels.length) {
            throw new IllegalArgumentException("outside of the bitmap or the array");
        }
        for (int row = 0; row < height; row++) {
            System.arraycopy(colors, (y + row) * this.width + x, pixels, offset + row * stride, width);
        }
    }
}
