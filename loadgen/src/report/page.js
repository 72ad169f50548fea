// Shows what a column of a plot says beside the pointer, at once; without
// script the browser shows the same text after a moment.
document.querySelectorAll("rect.hit").forEach(function (hit) {
  var tip = document.getElementById("tip");
  var title = hit.querySelector("title");
  var text = title.textContent;
  hit.setAttribute("aria-label", text);
  title.remove();
  hit.addEventListener("pointermove", function (event) {
    tip.textContent = text;
    tip.hidden = false;
    var left = event.clientX + 14;
    var room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = Math.min(left, room) + "px";
    tip.style.top = (event.clientY + 16) + "px";
  });
  hit.addEventListener("pointerleave", function () { tip.hidden = true; });
});
