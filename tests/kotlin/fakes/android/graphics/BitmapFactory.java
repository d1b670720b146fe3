package android.graphics;

import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import javax.imageio.ImageIO;

/** Decodes by the JVM's own ImageIO; colours come back rounded if they are to be premultiplied. */
public class BitmapFactory {
    public static class Options {
        public Bitmap.Config inPreferredConfig = Bitmap.Config.ARGB_8888;
        public boolean inPremultiplied = true;
        public boolean inScaled = true;
    }

    public static Bitmap decodeByteArray(byte[] data, int offset, int length, Options opts) {
        try {
            BufferedImage image = ImageIO.read(new ByteArrayInputStream(data, offset, length));
            if (image == null) return null;
            int width = image.getWidth();
            int[] colors = image.getRGB(0, 0, width, image.getHeight(), null, 0, width);
            if (opts.inPremultiplied) {
                for (int i = 0; i < colors.length; i++) colors[i] = throughPremultiplied(colors[i]);
            }
            return Bitmap.createBitmap(colors, width, image.getHeight(), opts.inPreferredConfig);
        } catch (IOException error) {
            return null;
        }
    }

    private static int throughPremultiplied(int color) {
        int alpha = color >>> 24;
        int result = alpha << 24;
        for (int shift = 0; shift < 24 && alpha > 0; shift += 8) {
            int stored = ((color >> shift & 255) * alpha + 127) / 255;
            result |= Math.min(255, (stored * 255 + alpha / 2) / alpha) << shift;
        }
        return result;
    }
}
