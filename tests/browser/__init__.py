"""Pages in a real browser: Debian's Chromium without a window, driven by Playwright.

Run by `make test-web`, which fetches what they need; left out of `make test`.
"""
