// Draws the charts, copies code, opens folded parts for printing. The file makes no request.
(function () {
  "use strict";

  document.getElementById("no-charts").hidden = true;
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const options = {
    renderer: "svg",
    actions: false,
    ast: true, // expressions are interpreted: the page's policy allows no eval
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };

  const places = Array.from(document.querySelectorAll("[data-chart]"));
  function draw(place) {
    return window.vegaEmbed(place, specs[place.dataset.chart], options).catch(function (error) {
      place.removeAttribute("aria-hidden");
      place.textContent = "This chart could not be drawn; the figures are in the table. " + error;
      console.error(place.dataset.chart + ": " + error);
    });
  }

  // One after the other, with a pause in between, so that the page can be read and scrolled.
  function drawFrom(next) {
    if (next === places.length) {
      document.documentElement.dataset.drawnMs = String(Math.round(performance.now()));
      return;
    }
    draw(places[next]).then(function () {
      const channel = new MessageChannel(); // a timer would wait at least four milliseconds
      channel.port1.onmessage = function () {
        channel.port1.close();
        drawFrom(next + 1);
      };
      channel.port2.postMessage(null);
    });
  }
  drawFrom(0);

  const said = document.getElementById("said");
  function tell(button, text) {
    const label = button.firstChild;
    label.textContent = text;
    said.textContent = text;
    window.setTimeout(function () {
      label.textContent = "Copy";
    }, 2000);
  }

  // For browsers that give a local file no access to the clipboard.
  function copySelected(code) {
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand("copy");
  }

  document.querySelectorAll(".copy").forEach(function (button) {
    const code = button.parentElement.querySelector("code");
    button.hidden = false;
    button.addEventListener("click", function () {
      const copied =
        navigator.clipboard && window.isSecureContext
          ? navigator.clipboard.writeText(code.textContent)
          : Promise.reject(new Error("no clipboard"));
      copied.then(
        function () {
          tell(button, "Copied");
        },
        function () {
          tell(button, copySelected(code) ? "Copied" : "Selected: press Ctrl+C");
        }
      );
    });
  });

  let opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (fold) {
      fold.open = true;
    });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (fold) {
      fold.open = false;
    });
  });
})();
