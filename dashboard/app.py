"""The web page: `streamlit run dashboard/app.py` from the project's folder."""

from pathlib import Path

import streamlit as st

from celflow.errors import UserError
from dashboard import server_status
from dashboard.views import compare, data, draw, label, models, sort, try_it

HERE = Path(__file__).parent


def main() -> None:
    """Lay out the frame, and run the page that the visitor chose."""
    st.set_page_config(page_title="celflow", page_icon="🎨", layout="wide")
    st.logo(HERE / "logo.svg", size="large")
    st.html(HERE / "style.css")
    # One line for each page, in the order of the menu.
    chosen = st.navigation(
        [
            st.Page(try_it.page, title="Try it", icon=":material/draw:", default=True),
            st.Page(sort.page, title="Sort", icon=":material/stacks:", url_path="sort"),
            st.Page(label.page, title="Label", icon=":material/label:", url_path="label"),
            st.Page(
                compare.page, title="Compare", icon=":material/compare_arrows:", url_path="compare"
            ),
            st.Page(draw.page, title="Draw", icon=":material/brush:", url_path="draw"),
            st.Page(models.page, title="Models", icon=":material/verified:", url_path="models"),
            st.Page(data.page, title="Data", icon=":material/dataset:", url_path="data"),
            # The first page's own address is /; this one is written down here and there.
            st.Page(try_it.page, title="Try it", url_path="try-it", visibility="hidden"),
        ]
    )
    try:
        with st.sidebar:
            server_status.show()
        chosen.run()
    except UserError as error:
        st.error(str(error), icon=":material/error:")


if __name__ == "__main__":
    main()
